//! What devices have used of their day: read from the rules that are there, and written into those that replace them, so
//! that a new start of the sensor gives a device nothing that it had used up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use komainu_model::ApplianceIndex;
use serde::Deserialize;

use crate::inventory::Inventory;

/// The set whose only element is there until the day is over.
pub(crate) const BEGUN: &str = "begun";
pub(crate) const BEGUN_ELEMENT: u32 = 1;

/// The map that says which number stands in the names of a device's objects. Devices may have changed places in the
/// inventory since; their interfaces say which is which.
pub(crate) const NUMBERS: &str = "numbers";

/// How long a day is, in seconds.
pub(crate) const DAY_S: u32 = 86_400;

/// A day that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Day {
    /// Seconds until it is over; [`DAY_S`] at most.
    pub(crate) left_s: u32,
    used: BTreeMap<ApplianceIndex, Used>,
}

/// What a device has used.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Used {
    bytes: u64,
    /// Each with the seconds until it is forgotten.
    destinations: Vec<(Ipv4Addr, u32)>,
}

impl Default for Day {
    fn default() -> Self {
        Self { left_s: DAY_S, used: BTreeMap::new() }
    }
}

impl Day {
    /// Reads what `nft -j list table` says. Bytes count while the day lasts; a destination counts for a day of its own.
    pub(crate) fn parse(listed: &str, inventory: &Inventory) -> Result<Self, serde_json::Error> {
        let Listing { nftables } = serde_json::from_str(listed)?;
        let mut day = Self::default();
        let begun = nftables.iter().filter_map(|object| object.set.as_ref()).find(|set| set.name == BEGUN);
        let left_s = begun.and_then(|set| set.elements().next()).map(|(_, expires_s)| expires_s);
        day.left_s = left_s.map_or(DAY_S, |left_s| left_s.clamp(1, DAY_S));
        let numbers = nftables.iter().filter_map(|object| object.map.as_ref()).find(|map| map.name == NUMBERS);
        let numbers = numbers.map(|map| map.elem.as_slice()).unwrap_or_default();
        for (index, device) in inventory.indexed() {
            let Some((_, number)) = numbers.iter().find(|(interface, _)| interface == device.interface.as_str()) else {
                continue;
            };
            let quota = format!("d{number}_day");
            let quota = nftables.iter().filter_map(|object| object.quota.as_ref()).find(|one| one.name == quota);
            let bytes = quota.filter(|_| left_s.is_some()).map_or(0, |quota| quota.used);
            let set = format!("d{number}_destinations");
            let set = nftables.iter().filter_map(|object| object.set.as_ref()).find(|one| one.name == set);
            let addresses = set.into_iter().flat_map(Set::elements);
            let destinations = addresses.filter_map(|(value, expires_s)| Some((value.parse().ok()?, expires_s)));
            day.used.insert(index, Used { bytes, destinations: destinations.collect() });
        }
        Ok(day)
    }

    /// Bytes that a device has sent.
    pub(crate) fn bytes(&self, index: ApplianceIndex) -> u64 {
        self.used.get(&index).map_or(0, |used| used.bytes)
    }

    /// The destinations of a device and the seconds until each is forgotten, `destinations_max` of them: a set does not
    /// take more, and the bound may have become lower. Those that are forgotten first are left out.
    pub(crate) fn destinations(&self, index: ApplianceIndex, destinations_max: u32) -> Vec<(Ipv4Addr, u32)> {
        let mut all = self.used.get(&index).map(|used| used.destinations.clone()).unwrap_or_default();
        all.sort_unstable_by_key(|&(address, expires_s)| (std::cmp::Reverse(expires_s), address));
        all.truncate(usize::try_from(destinations_max).unwrap_or(usize::MAX));
        all
    }
}

/// What the packet filter lists (libnftables-json, "Ruleset"); chains and rules are not looked at.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    quota: Option<Quota>,
    set: Option<Set>,
    map: Option<Map>,
}

#[derive(Deserialize)]
struct Quota {
    name: String,
    used: u64,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    #[serde(default)]
    elem: Vec<serde_json::Value>,
}

impl Set {
    /// Elements that are forgotten one day, and the seconds until then; at least one, as no time would mean for ever.
    fn elements(&self) -> impl Iterator<Item = (String, u32)> {
        self.elem.iter().filter_map(|element| {
            let element = element.get("elem")?;
            let (value, expires_s) = (element.get("val")?, element.get("expires")?.as_u64()?);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some((value, u32::try_from(expires_s).unwrap_or(DAY_S).clamp(1, DAY_S)))
        })
    }
}

#[derive(Deserialize)]
struct Map {
    name: String,
    #[serde(default)]
    elem: Vec<(String, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::EXAMPLE;

    /// As nft 1.0.6 lists it; the devices have changed places.
    const LISTED: &str = r#"{"nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "komainu_relay", "handle": 1}},
        {"quota": {"family": "inet", "name": "d1_day", "table": "komainu_relay", "bytes": 9, "used": 77, "inv": true}},
        {"quota": {"family": "inet", "name": "d2_day", "table": "komainu_relay", "bytes": 9, "used": 1234, "inv": true}},
        {"set": {"family": "inet", "name": "begun", "table": "komainu_relay", "type": "mark", "flags": ["timeout"],
            "timeout": 86400, "elem": [{"elem": {"val": 1, "expires": 12344}}]}},
        {"map": {"family": "inet", "name": "numbers", "type": "ifname", "map": "mark",
            "elem": [["vlan77", 2], ["vlan78", 1], ["gone", 3]]}},
        {"set": {"family": "inet", "name": "d2_destinations", "type": "ipv4_addr", "size": 8, "timeout": 86400,
            "elem": [{"elem": {"val": "192.0.2.4", "expires": 3599}}, {"elem": {"val": "192.0.2.5", "expires": 86399}}]}},
        {"chain": {"family": "inet", "name": "d1_caps", "handle": 5}}]}"#;

    const PORCH: ApplianceIndex = ApplianceIndex(0);
    const FRIDGE: ApplianceIndex = ApplianceIndex(1);

    fn day(listed: &str) -> Day {
        Day::parse(listed, &Inventory::parse(EXAMPLE).unwrap()).unwrap()
    }

    #[test]
    fn a_day_goes_on_where_it_was() {
        let day = day(LISTED);
        assert_eq!((day.left_s, day.bytes(PORCH), day.bytes(FRIDGE)), (12_344, 1_234, 77));
        let (first, second) = (Ipv4Addr::new(192, 0, 2, 4), Ipv4Addr::new(192, 0, 2, 5));
        assert_eq!(day.destinations(PORCH, 8), [(second, 86_399), (first, 3_599)]);
        assert_eq!(day.destinations(PORCH, 1), [(second, 86_399)], "a set takes no more than its size");
        assert_eq!(day.destinations(FRIDGE, 8), []);
    }

    #[test]
    fn a_day_that_is_over_leaves_destinations_their_own_time() {
        let day = day(&LISTED.replace(r#""elem": [{"elem": {"val": 1, "expires": 12344}}]"#, r#""elem": []"#));
        assert_eq!((day.left_s, day.bytes(PORCH), day.bytes(FRIDGE)), (DAY_S, 0, 0));
        assert_eq!(day.destinations(PORCH, 8).len(), 2);
    }

    #[test]
    fn rules_of_another_version_say_nothing() {
        assert_eq!(day(r#"{"nftables": []}"#), Day::default());
        assert_eq!(day(&LISTED.replace("numbers", "others")).bytes(PORCH), 0);
        assert!(Day::parse("table inet", &Inventory::parse(EXAMPLE).unwrap()).is_err());
    }
}
