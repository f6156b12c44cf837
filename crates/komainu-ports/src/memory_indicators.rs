//! What a [`MemoryStore`](crate::MemoryStore) knows of indicators.

use std::collections::BTreeMap;

use komainu_model::{
    Contact, Indicator, IndicatorChange, IndicatorId, IndicatorState, IndicatorValue, RefusedCandidate, Remote,
    RemoteHost, ReporterName, Scope, Sighting, Timestamp, Transport,
};

use crate::indicators::{CONTACTS_PER_DEVICE_MAX, IndicatorKind, SightingQuery};
use crate::memory::paged;
use crate::store::{Page, PageToken, Paged, StoreError};

/// So many contacts of a device are let go at the bound.
const LET_GO: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    indicators: BTreeMap<IndicatorId, Indicator>,
    to_look_back: std::collections::BTreeSet<IndicatorId>,
    refused: BTreeMap<IndicatorId, RefusedCandidate>,
    sightings: BTreeMap<(Scope, ReporterName, IndicatorId), Sighting>,
    contacts: BTreeMap<(Scope, ReporterName, Remote), Contact>,
}

impl Shelf {
    pub(crate) fn apply(&mut self, change: &IndicatorChange) {
        match change {
            IndicatorChange::Put(indicator) => {
                self.indicators.insert(indicator.id, indicator.clone());
            }
            IndicatorChange::PutToLookBack(indicator) => {
                self.to_look_back.insert(indicator.id);
                self.indicators.insert(indicator.id, indicator.clone());
            }
            IndicatorChange::LookedBack(id) => {
                self.to_look_back.remove(id);
            }
            IndicatorChange::PutRefused(refused) => {
                self.refused.insert(refused.id, refused.clone());
            }
            IndicatorChange::AddContact(scope, contact) => self.add_contact(scope, contact),
            IndicatorChange::AddSighting(scope, sighting) => {
                let key = (scope.clone(), sighting.reporter.clone(), sighting.indicator);
                let known = self.sightings.get_mut(&key);
                match known {
                    Some(known) => {
                        known.first_at = known.first_at.min(sighting.first_at);
                        known.last_at = known.last_at.max(sighting.last_at);
                        known.count += sighting.count;
                    }
                    None => drop(self.sightings.insert(key, sighting.clone())),
                }
            }
        }
    }

    fn add_contact(&mut self, scope: &Scope, contact: &Contact) {
        let key = (scope.clone(), contact.reporter.clone(), contact.remote.clone());
        if let Some(known) = self.contacts.get_mut(&key) {
            known.first_at = known.first_at.min(contact.first_at);
            known.last_at = known.last_at.max(contact.last_at);
            known.count += contact.count;
            return;
        }
        let is_same = |(of, reporter, _): &(Scope, ReporterName, Remote)| of == scope && *reporter == contact.reporter;
        let of_device = self.contacts.iter().filter(|(key, _)| is_same(key));
        if of_device.clone().count() >= CONTACTS_PER_DEVICE_MAX as usize {
            let mut of_device: Vec<_> = of_device.map(|(key, known)| (known.last_at, key.clone())).collect();
            of_device.sort();
            for (_, key) in of_device.iter().take(LET_GO) {
                self.contacts.remove(key);
            }
        }
        self.contacts.insert(key, contact.clone());
    }

    pub(crate) fn visit_active(&self) -> Vec<(IndicatorId, IndicatorValue)> {
        let active = self.indicators.values().filter(|indicator| indicator.state == IndicatorState::Active);
        active.map(|indicator| (indicator.id, indicator.value.clone())).collect()
    }

    pub(crate) fn indicator(&self, id: IndicatorId) -> Option<Indicator> {
        self.indicators.get(&id).cloned()
    }

    pub(crate) fn indicators(&self, kind: Option<IndicatorKind>, page: &Page) -> Result<Paged<Indicator>, StoreError> {
        let after = page.after.as_ref().map(read_id).transpose()?;
        let rest = self.indicators.values().filter(|indicator| {
            kind.is_none_or(|kind| IndicatorKind::of(&indicator.state) == kind)
                && after.is_none_or(|after| indicator.id > after)
        });
        let rest = rest.map(|indicator| (indicator.id, indicator.clone()));
        Ok(paged(rest, page.limit, |id| format!("indicator/{id}")))
    }

    pub(crate) fn indicators_over(&self, now: Timestamp, limit: usize) -> Vec<Indicator> {
        let active = self.indicators.values().filter(|indicator| indicator.state == IndicatorState::Active);
        let mut over: Vec<_> = active.filter(|indicator| indicator.valid_until <= now).cloned().collect();
        over.sort_by_key(|indicator| (indicator.valid_until, indicator.id));
        over.truncate(limit);
        over
    }

    pub(crate) fn next_over(&self) -> Option<Timestamp> {
        let active = self.indicators.values().filter(|indicator| indicator.state == IndicatorState::Active);
        active.map(|indicator| indicator.valid_until).min()
    }

    pub(crate) fn indicators_to_look_back(&self, limit: usize) -> Vec<Indicator> {
        let marked = self.to_look_back.iter().filter_map(|id| self.indicators.get(id));
        marked.filter(|indicator| indicator.state == IndicatorState::Active).take(limit).cloned().collect()
    }

    pub(crate) fn refused(&self, page: &Page) -> Result<Paged<RefusedCandidate>, StoreError> {
        let after = page.after.as_ref().map(|token| read_time_and_id(token, "refused")).transpose()?;
        let mut found: Vec<_> = self.refused.values().map(|refused| ((refused.at, refused.id), refused)).collect();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        let rest = found.into_iter().filter(|(key, _)| after.is_none_or(|after| *key < after));
        let rest = rest.map(|(key, refused)| (key, refused.clone()));
        Ok(paged(rest, page.limit, |(at, id)| format!("refused/{}/{id}", at.unix_millis())))
    }

    pub(crate) fn refused_count(&self) -> u64 {
        self.refused.len() as u64
    }

    pub(crate) fn sightings(&self, query: &SightingQuery, page: &Page) -> Result<Paged<(Scope, Sighting)>, StoreError> {
        let skip = read_offset(page)?;
        let mut found: Vec<_> = self
            .sightings
            .iter()
            .filter(|((scope, reporter, indicator), _)| {
                query.indicator.is_none_or(|wanted| wanted == *indicator)
                    && query.reporter.as_ref().is_none_or(|(of, wanted)| of == scope && wanted == reporter)
            })
            .collect();
        found.sort_by(|(a, one), (b, other)| other.last_at.cmp(&one.last_at).then_with(|| a.cmp(b)));
        let rest = found.into_iter().enumerate().skip(skip);
        let rest = rest.map(|(at, ((scope, ..), sighting))| (at + 1, (scope.clone(), sighting.clone())));
        Ok(paged(rest, page.limit, |at| format!("offset/{at}")))
    }

    pub(crate) fn contacts(
        &self,
        value: &IndicatorValue,
        since: Timestamp,
        page: &Page,
    ) -> Result<Paged<(Scope, Contact)>, StoreError> {
        let skip = read_offset(page)?;
        let found =
            self.contacts.iter().filter(|((.., remote), contact)| contact.last_at >= since && names(value, remote));
        let rest = found.enumerate().skip(skip);
        let rest = rest.map(|(at, ((scope, ..), contact))| (at + 1, (scope.clone(), contact.clone())));
        Ok(paged(rest, page.limit, |at| format!("offset/{at}")))
    }

    /// Removes what is older, and says how many contacts, sightings and refusals it was.
    pub(crate) fn prune(&mut self, before: Timestamp) -> [u64; 3] {
        let counts = |shelf: &Self| [shelf.contacts.len(), shelf.sightings.len(), shelf.refused.len()];
        let had = counts(self);
        self.contacts.retain(|_, contact| contact.last_at >= before);
        self.sightings.retain(|_, sighting| sighting.last_at >= before);
        self.refused.retain(|_, refused| refused.at >= before);
        let has = counts(self);
        std::array::from_fn(|at| (had[at] - has[at]) as u64)
    }
}

fn names(value: &IndicatorValue, remote: &Remote) -> bool {
    match (value, &remote.host) {
        (IndicatorValue::Address { transport: Some(Transport::Udp), .. }, _) => false,
        (IndicatorValue::Address { address, port, .. }, RemoteHost::Address(of)) => {
            address == of && (port.is_none() || *port == remote.port)
        }
        (IndicatorValue::Name(name), RemoteHost::Name(of)) => of.is_within(name.as_str()),
        (IndicatorValue::Address { .. } | IndicatorValue::Name(_), _) => false,
    }
}

fn read_id(token: &PageToken) -> Result<IndicatorId, StoreError> {
    let id = token.0.strip_prefix("indicator/").ok_or(StoreError::BadPageToken)?;
    IndicatorId::parse(id).map_err(|_| StoreError::BadPageToken)
}

fn read_time_and_id(token: &PageToken, list: &str) -> Result<(Timestamp, IndicatorId), StoreError> {
    let rest = token.0.strip_prefix(list).and_then(|rest| rest.strip_prefix('/'));
    let (at, id) = rest.and_then(|rest| rest.split_once('/')).ok_or(StoreError::BadPageToken)?;
    let at = at.parse().map_err(|_| StoreError::BadPageToken)?;
    Ok((Timestamp::from_unix_millis(at), IndicatorId::parse(id).map_err(|_| StoreError::BadPageToken)?))
}

fn read_offset(page: &Page) -> Result<usize, StoreError> {
    let Some(token) = &page.after else { return Ok(0) };
    let offset = token.0.strip_prefix("offset/").and_then(|text| text.parse().ok());
    offset.ok_or(StoreError::BadPageToken)
}
