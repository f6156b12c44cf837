//! Which certificates speak for which things.

use komainu_model::{CertificateId, Record, RecordKey, Thing, ThingName, ThingPrincipal, ThingPrincipalType};

use crate::listing::{Listed, entries_after};
use crate::{Decision, Registry, RegistryError};

impl Registry {
    /// Lets a certificate speak for a thing. The same again changes nothing. A certificate that speaks for one thing
    /// exclusively speaks for no other (AttachThingPrincipal, `thingPrincipalType`).
    pub fn attach_thing_principal(
        &self,
        thing: &ThingName,
        certificate: CertificateId,
        kind: ThingPrincipalType,
    ) -> Decision<()> {
        self.thing(thing)?;
        self.certificate(&certificate)?;
        let field = "principal";
        for (other, other_kind) in self.principal_things.get(&certificate).into_iter().flatten() {
            if other == thing {
                if *other_kind == kind {
                    return Ok(((), Vec::new()));
                }
                let reason = format!("it is attached to thing `{thing}` in another way; detach it first");
                return Err(RegistryError::invalid(field, reason));
            }
            if kind == ThingPrincipalType::ExclusiveThing || *other_kind == ThingPrincipalType::ExclusiveThing {
                let reason = format!("it is attached to thing `{other}`, and one of the two attachments is exclusive");
                return Err(RegistryError::invalid(field, reason));
            }
        }
        let attached = ThingPrincipal { thing: thing.clone(), certificate, kind };
        Ok(((), vec![self.put_change(Record::ThingPrincipal(attached))]))
    }

    /// Ends that a certificate speaks for a thing. Where it does not, that is no error.
    pub fn detach_thing_principal(&self, thing: &ThingName, certificate: CertificateId) -> Decision<()> {
        self.thing(thing)?;
        self.certificate(&certificate)?;
        let attached = self.thing_principals.get(thing).is_some_and(|attached| attached.contains_key(&certificate));
        let key = RecordKey::ThingPrincipal(thing.clone(), certificate);
        Ok(((), if attached { vec![self.delete_change(key)] } else { Vec::new() }))
    }

    /// The certificates of a thing in the order of their identities; with `kind`, only those that are attached so.
    pub fn list_principals_of_thing(
        &self,
        thing: &ThingName,
        kind: Option<ThingPrincipalType>,
        after: Option<&CertificateId>,
        limit: usize,
    ) -> Result<Listed<(CertificateId, ThingPrincipalType)>, RegistryError> {
        self.thing(thing)?;
        let attached = self.thing_principals.get(thing).into_iter().flat_map(|attached| entries_after(attached, after));
        let attached = attached.map(|(certificate, kind)| (*certificate, *kind));
        Ok(Listed::first(attached.filter(|(_, its)| kind.is_none_or(|kind| kind == *its)), limit))
    }

    /// The things of a certificate in the order of their names; with `kind`, only those that it is attached to so.
    pub fn list_things_of_principal(
        &self,
        certificate: &CertificateId,
        kind: Option<ThingPrincipalType>,
        after: Option<&ThingName>,
        limit: usize,
    ) -> Result<Listed<(&ThingName, ThingPrincipalType)>, RegistryError> {
        self.certificate(certificate)?;
        let attached =
            self.principal_things.get(certificate).into_iter().flat_map(|attached| entries_after(attached, after));
        let attached = attached.map(|(thing, kind)| (thing, *kind));
        Ok(Listed::first(attached.filter(|(_, its)| kind.is_none_or(|kind| kind == *its)), limit))
    }

    /// The things that a certificate speaks for, in the order of their names.
    pub fn things_of_principal(
        &self,
        certificate: &CertificateId,
    ) -> impl Iterator<Item = (&Thing, ThingPrincipalType)> {
        let attached = self.principal_things.get(certificate).into_iter().flatten();
        attached.filter_map(|(name, kind)| Some((self.things.get(name)?, *kind)))
    }
}
