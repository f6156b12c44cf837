//! A data connection of FTP.

use std::time::Duration;

use komainu_trace::RawText;
use komainu_trace::network::NetworkAct;

use super::{Call, Next, Service};
use crate::record::Collector;
use crate::world::Transfer;

/// How often it is looked whether the command has come that says what the connection is for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A data connection.
#[derive(Debug, Default)]
pub(crate) struct Data {
    upload: Option<Collector>,
    name: Option<RawText>,
}

impl Data {
    fn look(&mut self, call: &mut Call<'_>) {
        match call.world.expected(call.peer.to).map(|expected| expected.transfer.clone()) {
            Some(Transfer::Unknown) => call.wake_after(LOOK_EVERY),
            Some(Transfer::Upload(name)) => self.name = Some(name),
            Some(Transfer::Download(contents)) => {
                call.send(contents);
                call.close();
            }
            None => call.close(),
        }
    }
}

impl Service for Data {
    fn name(&self) -> &'static str {
        "ftp"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        self.look(call);
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.upload.get_or_insert_with(|| call.world.record.collect()).add(bytes);
        Next::Stay
    }

    fn woken(&mut self, call: &mut Call<'_>) -> Next {
        self.look(call);
        Next::Stay
    }

    fn finished(&mut self, call: &mut Call<'_>) {
        if let Some(upload) = self.upload.take() {
            if self.name.is_none() {
                self.look(call);
            }
            // The file belongs to the connection on which it was announced.
            let flow = call.world.expected(call.peer.to).map_or(call.peer.flow, |expected| expected.control);
            let (sha256, bytes) = call.world.record.collected(upload);
            call.event(NetworkAct::Content { flow, name: self.name.take(), sha256, bytes });
        }
        call.world.forget(call.peer.to);
    }
}
