//! From an operation's name to the function that does it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use komainu_aws::{Input, Operation, Output, Request, Service};
use komainu_ports::BoxFuture;
use tokio::sync::Semaphore;

use crate::error::{ApiError, ErrorKind};
use crate::{Api, Caller, iot, iot_data, roles, sns, sts};

/// So many operations run at the same time; others wait for their turn within their request's deadline. Enough to
/// keep the store busy, few enough that their threads fit a small machine.
const OPERATIONS_AT_ONCE_MAX: usize = 32;

/// The operations of one module, by AWS's names.
pub(crate) type Operations = Vec<(&'static str, Handler)>;

/// Reads an operation's input, does the operation, writes its output.
pub(crate) struct Handler(Box<dyn Fn(CallContext) -> BoxFuture<'static, CallResult> + Send + Sync>);

/// The body of the answer, or `None` for operations without output.
pub(crate) type CallResult = Result<Option<String>, ApiError>;

/// A request that was authenticated and routed.
pub(crate) struct CallContext {
    pub(crate) api: Arc<Api>,
    pub(crate) caller: Caller,
    pub(crate) request: OwnedRequest,
}

/// What an operation's input is read from; see [`Request`].
#[derive(Debug, Default)]
pub(crate) struct OwnedRequest {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: bytes::Bytes,
}

impl OwnedRequest {
    fn read<I: Input>(&self) -> Result<I, ApiError> {
        let Self { labels, query, headers, body } = self;
        Ok(I::read(&Request { labels, query, headers, body })?)
    }
}

/// An operation that is a plain function. It may block, and runs where that is allowed.
pub(crate) fn blocking<I, O>(run: fn(&Api, &Caller, I) -> Result<O, ApiError>) -> Handler
where
    I: Input + 'static,
    O: Output + 'static,
{
    Handler(Box::new(move |CallContext { api, caller, request }| {
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                let input = request.read()?;
                Ok(run(&api, &caller, input)?.write())
            });
            match done.await {
                Ok(result) => result,
                Err(error) => Err(ApiError::internal(error)),
            }
        })
    }))
}

/// An operation that waits for others; it must not block.
pub(crate) fn waiting<I, O, F>(run: fn(Arc<Api>, Caller, I) -> F) -> Handler
where
    I: Input + Send + 'static,
    O: Output + 'static,
    F: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    Handler(Box::new(move |CallContext { api, caller, request }| {
        Box::pin(async move {
            let input = request.read()?;
            Ok(run(api, caller, input).await?.write())
        })
    }))
}

/// Every operation that Komainu has.
pub(crate) struct Handlers {
    pub(crate) by_name: BTreeMap<(Service, &'static str), Handler>,
    turns: Semaphore,
}

impl Handlers {
    pub(crate) fn new() -> Self {
        let services = [
            (Service::Iot, iot::operations()),
            (Service::IotData, iot_data::operations()),
            (Service::Sns, sns::operations()),
            (Service::Sts, sts::operations()),
        ];
        let by_name = services
            .into_iter()
            .flat_map(|(service, operations)| {
                operations.into_iter().map(move |(name, handler)| ((service, name), handler))
            })
            .collect();
        Self { by_name, turns: Semaphore::new(OPERATIONS_AT_ONCE_MAX) }
    }

    /// Does an operation, if the role of who asks allows it.
    pub(crate) async fn call(&self, service: Service, operation: &Operation, context: CallContext) -> CallResult {
        let Some(Handler(handler)) = self.by_name.get(&(service, operation.name)) else {
            let message = format!(
                "The operation {} of {} is not available yet in Komainu.",
                operation.name,
                service.signing_name()
            );
            return Err(ApiError::new(ErrorKind::NotAvailableYet, message));
        };
        let least = roles::of_operation(service, operation.name);
        if context.caller.role < least {
            return Err(roles::refusal(&context.caller, service, operation.name, least));
        }
        let _turn = self.turns.acquire().await.map_err(ApiError::internal)?;
        handler(context).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_handler_is_an_operation_of_its_service() {
        let handlers = Handlers::new();
        let mut counts: BTreeMap<Service, usize> = BTreeMap::new();
        for (service, name) in handlers.by_name.keys() {
            assert!(service.operation(name).is_some(), "{name}");
            *counts.entry(*service).or_default() += 1;
        }
        // Those of the generator's list; a name that stands twice, or is forgotten, shows here.
        let expected = [(Service::Iot, 65), (Service::IotData, 2), (Service::Sns, 17), (Service::Sts, 1)];
        assert_eq!(counts, BTreeMap::from(expected));
    }
}
