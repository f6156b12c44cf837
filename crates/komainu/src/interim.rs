//! Stands where detection will be.
use komainu_ports::{BoxFuture, ReportMessage, ReportSink, ReportSinkError};

pub(crate) struct NoDetection;

impl ReportSink for NoDetection {
    fn submit(&self, _: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>> {
        Box::pin(async { Err(ReportSinkError::Busy) })
    }
}
