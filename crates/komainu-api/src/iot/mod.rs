//! The operations of AWS IoT's control plane, one module for each kind of resource.
//!
//! A module has a plain function for each operation, `fn create_thing(api: &Api, caller: &Caller, input:
//! iot::CreateThingRequest) -> Result<iot::CreateThingResponse, ApiError>`, and `operations()`, the list of them by
//! AWS's names: `vec![("CreateThing", blocking(create_thing)), ...]`.

mod behaviors;
pub(crate) mod certificates;
mod convert;
mod endpoint;
mod groups;
mod paging;
mod policies;
mod profiles;
mod tags;
mod thing_types;
mod things;
mod violations;

use crate::dispatch::Operations;

/// Every operation of the service that Komainu has.
pub(crate) fn operations() -> Operations {
    let modules = [
        things::operations(),
        thing_types::operations(),
        groups::operations(),
        certificates::operations(),
        policies::operations(),
        tags::operations(),
        endpoint::operations(),
        profiles::operations(),
        violations::operations(),
    ];
    modules.into_iter().flatten().collect()
}
