//! Entrances for fuzz targets.

use crate::{Day, Problem, Publication, read_epss, read_kev, read_notes};

/// The most problems that a reader tells: a hundred, and one that says how many more there are.
const PROBLEMS_MAX: usize = 101;

/// Any bytes as the list of exploited weaknesses: no panic, each refusal has a reason, texts are bounded.
pub fn kev(bytes: &[u8]) {
    let (publications, problems) = read_kev(bytes);
    check(&publications, &problems);
}

/// Any bytes as the list of how likely weaknesses are to be exploited: no panic, each refusal has a reason.
pub fn epss(bytes: &[u8]) {
    let (_, problems) = read_epss(bytes);
    check(&[], &problems);
}

/// Any bytes as the operator's notes: no panic, each refusal has a reason, texts are bounded.
pub fn notes(bytes: &[u8]) {
    let (publications, problems) = read_notes(bytes);
    assert!(publications.iter().all(|note| !note.title.is_empty()), "a note has a title");
    check(&publications, &problems);
}

fn check(publications: &[Publication], problems: &[Problem]) {
    assert!(problems.len() <= PROBLEMS_MAX, "problems are bounded");
    assert!(problems.iter().all(|problem| !problem.reason.to_string().is_empty()), "each refusal has a reason");
    for publication in publications {
        let texts = publication.concerns.iter().chain([&publication.title]).chain(&publication.url);
        for text in texts {
            assert!(text.chars().count() <= 1001 && !text.chars().any(char::is_control), "texts are bounded and plain");
        }
        assert_eq!(Day::parse(&publication.day.to_string()), Some(publication.day), "a day is read as it is shown");
    }
}
