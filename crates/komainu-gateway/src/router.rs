//! Which subscriptions a topic reaches: a tree of topic levels.
//!
//! The cost of a look-up depends on the levels of the topic and on what matches, not on how many subscriptions
//! there are. The router knows nothing of sessions: a subscriber is a number with a value.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The subscriptions of one scope.
#[derive(Debug)]
pub(crate) struct Router<T> {
    root: Node<T>,
    version: u64,
}

/// Subscriptions that share what they receive.
#[derive(Debug)]
pub(crate) struct Group<T> {
    /// The name in `$share/NAME/filter`.
    pub(crate) name: Arc<str>,
    /// The members in the order in which they came, by number.
    pub(crate) members: Vec<(u64, T)>,
    /// Where the next choice begins. Shared by successive versions of the group.
    next: Arc<AtomicUsize>,
}

/// A subscription that a topic reached.
#[derive(Debug)]
pub(crate) enum Match<'a, T> {
    /// Of one subscriber.
    Direct(u64, &'a T),
    /// Of a group, of which one member gets the message.
    Shared(&'a Arc<Group<T>>),
}

type Levels<T> = HashMap<Box<str>, Node<T>, ahash::RandomState>;

#[derive(Debug)]
struct Node<T> {
    /// Levels by name. Boxed because most nodes are leaves.
    levels: Option<Box<Levels<T>>>,
    /// The level `+`.
    plus: Option<Box<Node<T>>>,
    /// Subscriptions whose filter ends here.
    here: Subscribers<T>,
    /// Subscriptions whose filter ends here with `#`.
    below: Subscribers<T>,
}

#[derive(Debug)]
struct Subscribers<T> {
    direct: Vec<(u64, T)>,
    groups: Vec<Arc<Group<T>>>,
}

impl<T: Clone> Router<T> {
    pub(crate) fn new() -> Self {
        Self { root: Node::new(), version: 0 }
    }

    /// Changes with every change of the subscriptions: what was looked up at another version may be wrong.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Adds a subscription or replaces the one that `subscriber` has to the same filter. The filter is valid.
    pub(crate) fn insert(&mut self, filter: &str, group: Option<&str>, subscriber: u64, value: T) {
        self.version += 1;
        let subscribers = self.root.at(filter);
        match group {
            None => replace(&mut subscribers.direct, subscriber, value),
            Some(name) => match subscribers.groups.iter_mut().find(|group| *group.name == *name) {
                Some(group) => {
                    let mut members = group.members.clone();
                    replace(&mut members, subscriber, value);
                    *group = Arc::new(Group { name: group.name.clone(), members, next: group.next.clone() });
                }
                None => subscribers.groups.push(Arc::new(Group {
                    name: name.into(),
                    members: vec![(subscriber, value)],
                    next: Arc::default(),
                })),
            },
        }
    }

    /// Removes a subscription. One that does not exist changes nothing.
    pub(crate) fn remove(&mut self, filter: &str, group: Option<&str>, subscriber: u64) {
        self.version += 1;
        self.root.remove(filter, group, subscriber);
    }

    /// Shows `visit` every subscription that `topic` reaches, in an order that only depends on the subscriptions of
    /// the matching filters.
    pub(crate) fn matches<'a>(&'a self, topic: &str, visit: &mut impl FnMut(Match<'a, T>)) {
        // Wildcards in the first level do not match a `$`. [MQTT-4.7.2-1]
        self.root.matches(topic, topic.starts_with('$'), visit);
    }

    /// The group of that name on that filter.
    pub(crate) fn group(&self, name: &str, filter: &str) -> Option<&Arc<Group<T>>> {
        self.root.find(filter)?.groups.iter().find(|group| *group.name == *name)
    }

    /// Whether there is no subscription and no node left of one.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl<T> Group<T> {
    /// The members, beginning with the one whose turn it is.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &(u64, T)> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len();
        (0..count).map(move |at| &self.members[(first.wrapping_add(at)) % count])
    }
}

fn replace<T>(list: &mut Vec<(u64, T)>, subscriber: u64, value: T) {
    match list.iter_mut().find(|(number, _)| *number == subscriber) {
        Some(entry) => entry.1 = value,
        None => list.push((subscriber, value)),
    }
}

impl<T: Clone> Node<T> {
    fn new() -> Self {
        Self { levels: None, plus: None, here: Subscribers::new(), below: Subscribers::new() }
    }

    fn is_empty(&self) -> bool {
        self.levels.is_none() && self.plus.is_none() && self.here.is_empty() && self.below.is_empty()
    }

    /// The subscribers of `filter`; the nodes on the way are made.
    fn at(&mut self, filter: &str) -> &mut Subscribers<T> {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.below,
                "+" => node.plus.get_or_insert_with(|| Box::new(Self::new())),
                level => {
                    let levels = node.levels.get_or_insert_default();
                    // Two look-ups, so that a level that exists is not copied.
                    if !levels.contains_key(level) {
                        levels.insert(level.into(), Self::new());
                    }
                    levels.get_mut(level).expect("inserted above")
                }
            };
        }
        &mut node.here
    }

    fn find(&self, filter: &str) -> Option<&Subscribers<T>> {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return Some(&node.below),
                "+" => node.plus.as_deref()?,
                level => node.levels.as_ref()?.get(level)?,
            };
        }
        Some(&node.here)
    }

    fn remove(&mut self, filter: &str, group: Option<&str>, subscriber: u64) {
        let (level, rest) = split_level(filter);
        if level == "#" {
            return self.below.remove(group, subscriber);
        }
        let next = match level {
            "+" => self.plus.as_deref_mut(),
            level => self.levels.as_mut().and_then(|levels| levels.get_mut(level)),
        };
        let Some(next) = next else { return };
        match rest {
            Some(rest) => next.remove(rest, group, subscriber),
            None => next.here.remove(group, subscriber),
        }
        if next.is_empty() {
            if level == "+" {
                self.plus = None;
            } else if let Some(levels) = &mut self.levels {
                levels.remove(level);
                if levels.is_empty() {
                    self.levels = None;
                }
            }
        }
    }

    fn matches<'a>(&'a self, topic: &str, skip_wildcards: bool, visit: &mut impl FnMut(Match<'a, T>)) {
        if !skip_wildcards {
            self.below.visit(visit);
        }
        let (level, rest) = split_level(topic);
        let literal = self.levels.as_ref().and_then(|levels| levels.get(level));
        let plus = if skip_wildcards { None } else { self.plus.as_deref() };
        for next in literal.into_iter().chain(plus) {
            match rest {
                Some(rest) => next.matches(rest, false, visit),
                None => {
                    next.here.visit(visit);
                    // `a/#` matches `a`. [MQTT-4.7.1-2]
                    next.below.visit(visit);
                }
            }
        }
    }
}

impl<T: Clone> Subscribers<T> {
    fn new() -> Self {
        Self { direct: Vec::new(), groups: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.groups.is_empty()
    }

    fn remove(&mut self, group: Option<&str>, subscriber: u64) {
        let Some(name) = group else { return self.direct.retain(|(number, _)| *number != subscriber) };
        if let Some(at) = self.groups.iter().position(|group| *group.name == *name) {
            let group = &self.groups[at];
            let members: Vec<_> = group.members.iter().filter(|(number, _)| *number != subscriber).cloned().collect();
            if members.is_empty() {
                self.groups.remove(at);
            } else {
                self.groups[at] = Arc::new(Group { name: group.name.clone(), members, next: group.next.clone() });
            }
        }
    }

    fn visit<'a>(&'a self, visit: &mut impl FnMut(Match<'a, T>)) {
        for (number, value) in &self.direct {
            visit(Match::Direct(*number, value));
        }
        for group in &self.groups {
            visit(Match::Shared(group));
        }
    }
}

fn split_level(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (topic, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Everything a topic reaches, sorted: `(group, subscriber, value)`.
    fn reached(router: &Router<u32>, topic: &str) -> Vec<(String, u64, u32)> {
        let mut found = Vec::new();
        router.matches(topic, &mut |matched| match matched {
            Match::Direct(number, value) => found.push((String::new(), number, *value)),
            Match::Shared(group) => {
                found.extend(group.members.iter().map(|(number, value)| (group.name.to_string(), *number, *value)));
            }
        });
        found.sort();
        found
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&["a", "b", "", "$x"][..])
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"))
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => level(), 2 => Just("+")];
        (prop::collection::vec(level, 0..4), any::<bool>()).prop_map(|(mut levels, hash)| {
            if hash || levels.is_empty() {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    proptest! {
        /// The tree finds what comparing every filter with the topic finds, after any inserts and removals.
        #[test]
        fn agrees_with_comparing_every_filter(
            steps in prop::collection::vec(
                (any::<bool>(), filter(), prop::option::of(prop::sample::select(&["g", "h"][..])), 0u64..4, any::<u32>()),
                1..40,
            ),
            topics in prop::collection::vec(topic(), 1..10),
        ) {
            let mut router = Router::new();
            let mut model: BTreeMap<(String, String, u64), u32> = BTreeMap::new();
            for (insert, filter, group, subscriber, value) in steps {
                let key = (filter.clone(), group.unwrap_or_default().to_owned(), subscriber);
                if insert {
                    router.insert(&filter, group, subscriber, value);
                    model.insert(key, value);
                } else {
                    router.remove(&filter, group, subscriber);
                    model.remove(&key);
                }
            }
            for topic in topics {
                let mut expected: Vec<_> = model
                    .iter()
                    .filter(|((filter, ..), _)| crate::topic::matches(filter, &topic))
                    .map(|((_, group, subscriber), value)| (group.clone(), *subscriber, *value))
                    .collect();
                expected.sort();
                prop_assert_eq!(reached(&router, &topic), expected);
            }
            for (filter, group, subscriber) in model.into_keys() {
                router.remove(&filter, (!group.is_empty()).then_some(&*group), subscriber);
            }
            prop_assert!(router.is_empty(), "nodes are left behind");
        }
    }

    #[test]
    fn a_group_takes_turns() {
        let mut router = Router::new();
        for subscriber in 1..=3 {
            router.insert("a", Some("g"), subscriber, 0);
        }
        let first = |router: &Router<u32>| router.group("g", "a").unwrap().in_turn().next().unwrap().0;
        let turns: Vec<u64> = (0..6).map(|_| first(&router)).collect();
        assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
        // The turn goes on when a member leaves.
        router.remove("a", Some("g"), 3);
        assert_eq!([first(&router), first(&router)], [1, 2]);
    }

    #[test]
    fn the_version_changes_with_the_subscriptions() {
        let mut router = Router::new();
        let before = router.version();
        router.insert("a", None, 1, 0);
        assert_ne!(router.version(), before);
    }
}
