//! The last values of something, in their order of size.

use std::collections::VecDeque;

/// The last values, at most as many as were asked for. Quantiles are read off, since the values are kept sorted: a new
/// value costs a search and a move of some hundred bytes to a few thousand.
#[derive(Debug)]
pub(super) struct Window {
    arrived: VecDeque<f64>,
    sorted: Vec<f64>,
    len_max: usize,
}

impl Window {
    pub(super) fn new(len_max: usize) -> Self {
        Self { arrived: VecDeque::new(), sorted: Vec::new(), len_max }
    }

    pub(super) fn push(&mut self, value: f64) {
        if self.arrived.len() == self.len_max
            && let Some(oldest) = self.arrived.pop_front()
            && let Ok(at) = self.sorted.binary_search_by(|other| other.total_cmp(&oldest))
        {
            self.sorted.remove(at);
        }
        self.arrived.push_back(value);
        let at = self.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        self.sorted.insert(at, value);
    }

    pub(super) fn clear(&mut self) {
        self.arrived.clear();
        self.sorted.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The value below which `share` of all lie, between two values in proportion; `None` if there is none.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        quantile(&self.sorted, share)
    }

    /// The mean of the lower nine tenths: where medians are zero, this still tells something of nothing.
    pub(super) fn lower_mean(&self) -> f64 {
        let kept = &self.sorted[..self.sorted.len() * 9 / 10];
        if kept.is_empty() { 0.0 } else { kept.iter().sum::<f64>() / kept.len() as f64 }
    }
}

/// The value of a sorted list below which `share` of all lie, between two values in proportion.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_values_count() {
        let mut window = Window::new(3);
        assert_eq!(window.quantile(0.5), None);
        for (value, expected) in [(5.0, 5.0), (1.0, 3.0), (2.0, 2.0), (9.0, 2.0), (9.0, 9.0), (0.0, 9.0)] {
            window.push(value);
            assert_eq!(window.quantile(0.5), Some(expected), "after {value}");
        }
        assert_eq!((window.len(), window.quantile(1.0), window.quantile(0.25)), (3, Some(9.0), Some(4.5)));
    }

    #[test]
    fn the_highest_tenth_does_not_count_in_the_lower_mean() {
        let mut window = Window::new(10);
        for value in [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000.0] {
            window.push(value);
        }
        assert_eq!(window.lower_mean(), 1.0 / 9.0);
    }
}
