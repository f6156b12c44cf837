//! The operations of AWS IoT's control plane, one module for each kind of resource.
//!
//! A module has a plain function for each operation, `fn create_thing(api: &Api, caller: &Caller, input:
//! iot::CreateThingRequest) -> Result<iot::CreateThingResponse, ApiError>`, and `operations()`, the list of them by
//! AWS's names: `vec![("CreateThing", blocking(create_thing)), ...]`.

use crate::dispatch::Operations;

/// Every operation of the service that Komainu has.
pub(crate) fn operations() -> Operations {
    // Each module adds a line here: `things::operations(),`.
    let modules: [Operations; 0] = [];
    modules.into_iter().flatten().collect()
}
