//! Two simple ways to find peaks, to compare with.

/// How many days back they look.
const WINDOW_DAYS: usize = 28;

/// Days with more than the mean and so many standard deviations of the days before.
pub(crate) fn mean_and_deviations(
    counts: &[u64],
    is_missing: &dyn Fn(usize) -> bool,
    deviations: f64,
) -> Vec<(usize, usize)> {
    runs(counts, is_missing, |before| {
        let mean = before.iter().sum::<f64>() / before.len() as f64;
        let variance = before.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (before.len() - 1) as f64;
        mean + deviations * variance.sqrt()
    })
}

/// Days with more than the median and so many median absolute deviations (as standard deviations) before.
pub(crate) fn median_and_deviations(
    counts: &[u64],
    is_missing: &dyn Fn(usize) -> bool,
    deviations: f64,
) -> Vec<(usize, usize)> {
    runs(counts, is_missing, |before| {
        let middle = median(before.to_vec());
        let spread = median(before.iter().map(|count| (count - middle).abs()).collect());
        middle + deviations * (1.4826 * spread).max(1.0)
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Days in a row that are above the bound that the days before give, with a day between at most.
fn runs(counts: &[u64], is_missing: &dyn Fn(usize) -> bool, bound: impl Fn(&[f64]) -> f64) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut before: Vec<f64> = Vec::new();
    for (day, count) in counts.iter().enumerate().filter(|(day, _)| !is_missing(*day)) {
        let count = *count as f64;
        if before.len() == WINDOW_DAYS && count > bound(&before) {
            match runs.last_mut() {
                Some(run) if run.1 + 2 >= day => run.1 = day,
                _ => runs.push((day, day)),
            }
        }
        before.push(count);
        if before.len() > WINDOW_DAYS {
            before.remove(0);
        }
    }
    runs
}
