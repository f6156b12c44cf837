//! How often a flow may be odd.

use crate::{Fact, Observer, Oddity, OddityKind, Place};

/// How often the same oddity of one flow is told. Enough to see a habit; a flow made of broken units says no more.
pub(crate) const ODDITIES_EQUAL_MAX: u8 = 16;

/// How many different oddities of one flow are told: more than any decoder has.
const ODDITIES_DIFFERENT_MAX: usize = 32;

/// Remembers how often a flow told each oddity. Half a kilobyte, on the heap, and none before the first oddity.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    /// What was told, and how often.
    told: Vec<(&'static str, u8)>,
    /// That there were too many was told.
    is_full: bool,
}

impl Oddities {
    /// Tells an oddity, unless it was told too often: then that, once.
    pub(crate) fn tell(&mut self, place: Place, kind: OddityKind, what: &'static str, observer: &mut dyn Observer) {
        let place_left = self.told.len() < ODDITIES_DIFFERENT_MAX;
        let is_within = match self.told.iter_mut().find(|(told, _)| *told == what) {
            Some((_, times)) if *times < ODDITIES_EQUAL_MAX => {
                *times += 1;
                true
            }
            None if place_left => {
                self.told.push((what, 1));
                true
            }
            Some(_) | None => false,
        };
        if is_within {
            observer.fact(place, Fact::Oddity(Oddity { kind, what }));
        } else if !self.is_full {
            self.is_full = true;
            observer.fact(place, Fact::Oddity(Oddity { kind: OddityKind::Bound, what: "too_many_oddities" }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;

    #[test]
    fn each_is_told_a_few_times_and_then_once_that_there_are_more() {
        let mut oddities = Oddities::default();
        let mut said = Vec::new();
        let mut observer = |_: Place, fact: Fact<'_>| {
            if let Fact::Oddity(oddity) = fact {
                said.push(oddity.what);
            }
        };
        let place = Place { side: Side::Client, offset: 0, bytes: 0 };
        for _ in 0..100 {
            oddities.tell(place, OddityKind::Skipped, "one", &mut observer);
            oddities.tell(place, OddityKind::Skipped, "another", &mut observer);
        }
        let times = |what| said.iter().filter(|told| **told == what).count();
        let each = usize::from(ODDITIES_EQUAL_MAX);
        assert_eq!((times("one"), times("another"), times("too_many_oddities")), (each, each, 1));
    }
}
