//! The privileged side: holds the devices with the packet filter, starts the process that talks to strangers, and opens
//! ways to devices for it. It reads nothing of what strangers or devices say.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Appliance, ApplianceIndex, EgressProfile, EgressRules, RelayMode, RelayTransport};
use komainu_ports::{Clock, ResetEnd};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};
use tracing::{error, info, warn};

use crate::capture;
use crate::channel::Channel;
use crate::day::DAY_S;
use crate::events;
use crate::examination::{self, Case, ExaminationError, ExaminerConfig};
use crate::inventory::{Inventory, is_of_one_host};
use crate::message::{ADDRESSES_MAX, Answer, Greeting, Question, Request, Said, VERSION};
use crate::network::{self, NetworkError};
use crate::resets::Resets;
use crate::rights::{RightsError, WorkerUser, need_root};
use crate::sockets::{self, Shared};
use crate::told;

/// This program. The process that talks to strangers may have no right to find its file by name.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// How long the sockets of a worker that has lost its guard may stay open when the next guard starts.
const SOCKETS_WAIT: Duration = Duration::from_secs(20);
const SOCKETS_RETRY: Duration = Duration::from_millis(200);

/// How long a worker may take nothing of what it is answered. Then it is ended.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a worker may take to write its records when it is to stop: more than it gives itself.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// How long to wait before a worker is started again. It doubles with each that ended early.
const RESTART_MIN: Duration = Duration::from_secs(1);
const RESTART_MAX: Duration = Duration::from_secs(60);

/// A worker that lived so long did not end early.
const LIVED_LONG: Duration = Duration::from_secs(60);

/// How often it is looked whether an operator has begun or ended a quarantine.
const QUARANTINE_LOOK: Duration = Duration::from_secs(5);

/// How often devices' quotas begin anew.
const DAY: Duration = Duration::from_secs(DAY_S as u64);

/// What a guard is made of.
pub struct GuardConfig {
    /// The devices.
    pub inventory: Inventory,
    /// The arguments with which this program is the worker.
    pub arguments: Vec<OsString>,
    /// As whom it runs.
    pub user: WorkerUser,
    /// Who examines devices after an incident.
    pub examiner: ExaminerConfig,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Why a guard cannot hold the devices, or ends.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// It has the wrong rights.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// The network could not be changed.
    #[error("cannot hold the devices")]
    Network(#[from] NetworkError),
    /// A socket could not be opened.
    #[error("cannot open the sockets of the relay")]
    Sockets(#[source] io::Error),
    /// A device could not be reset.
    #[error("cannot reset a device of the inventory")]
    Reset(#[from] ExaminationError),
    /// The worker could not be started.
    #[error("cannot start the process that talks to strangers")]
    Worker(#[source] io::Error),
    /// The first worker ended at once; it has said why.
    #[error("the process that talks to strangers ended at once ({status}); the devices stay closed")]
    EndedAtOnce {
        /// How.
        status: ExitStatus,
    },
}

/// Holds the devices and serves workers until `stop` resolves. The rules stay, whatever happens.
pub async fn guard(config: GuardConfig, stop: impl Future<Output = ()>) -> Result<(), GuardError> {
    need_root()?;
    // Before anything else: from here on the devices are held, with or without us.
    let day_left = network::load(&config.inventory, config.examiner.uids)?;
    let day_ends = Instant::now() + Duration::from_secs(day_left.into());
    network::route(&config.inventory)?;
    info!(event = events::HELD, devices = config.inventory.devices().len(), "devices are held by the packet filter");
    let shared = open_sockets(&config.inventory).await?;
    let resets = Resets::new(config.examiner, config.clock);
    let quarantined = network::quarantined(&config.inventory);
    let mut guard = Guard { quarantined, inventory: config.inventory, shared, resets, day_ends };
    guard.resume_resets()?;
    let mut stop = Box::pin(stop);
    let mut wait = RESTART_MIN;
    let mut is_first = true;
    loop {
        let began = Instant::now();
        let (mut child, channel) = start_worker(&config.arguments, config.user).map_err(GuardError::Worker)?;
        info!(event = events::WORKER_STARTED, pid = child.id(), "process that talks to strangers was started");
        let Some(status) = guard.serve(&mut child, channel, stop.as_mut()).await else {
            end_worker(&mut child).await;
            info!(event = events::STOPPED, "guard has stopped; the devices stay closed");
            return Ok(());
        };
        warn!(event = events::WORKER_ENDED, %status, "process that talks to strangers has ended");
        if is_first && status.code().is_some_and(|code| code != 0) {
            return Err(GuardError::EndedAtOnce { status });
        }
        is_first = false;
        wait = if began.elapsed() >= LIVED_LONG { RESTART_MIN } else { wait };
        tokio::select! {
            biased;
            () = stop.as_mut() => {
                info!(event = events::STOPPED, "guard has stopped; the devices stay closed");
                return Ok(());
            }
            () = sleep(wait) => {}
        }
        wait = (wait * 2).min(RESTART_MAX);
    }
}

/// A worker whose guard was killed ends as well, but its sockets are in the way until it has.
async fn open_sockets(inventory: &Inventory) -> Result<Shared, GuardError> {
    let deadline = Instant::now() + SOCKETS_WAIT;
    loop {
        match try_open_sockets(inventory) {
            Err(_) if Instant::now() < deadline => sleep(SOCKETS_RETRY).await,
            outcome => return outcome.map_err(GuardError::Sockets),
        }
    }
}

fn try_open_sockets(inventory: &Inventory) -> io::Result<Shared> {
    let sockets::Listeners { relay_tcp, relay_udp, sinkhole, dns, ntp } = sockets::listeners()?;
    Ok(Shared { relay_tcp, relay_udp, sinkhole, dns, ntp, told: told::open()?, inventory: sealed(inventory)? })
}

/// The inventory in memory that nobody can change any more.
fn sealed(inventory: &Inventory) -> io::Result<OwnedFd> {
    let memory = memfd_create("komainu-inventory", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(inventory.to_text().as_bytes())?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

fn start_worker(arguments: &[OsString], user: WorkerUser) -> io::Result<(Child, Channel)> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    // The standard library leaves supplementary groups behind when it changes the user; the kernel takes the
    // capabilities away.
    let child =
        Command::new(PROGRAM).args(arguments).stdin(its).uid(user.uid).gid(user.gid).kill_on_drop(true).spawn()?;
    Ok((child, Channel::new(ours)?))
}

/// The channel is closed: the worker stops by itself, or is stopped.
async fn end_worker(child: &mut Child) {
    if timeout(STOP_GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Says something to the worker, which must take it.
async fn send(channel: &Channel, said: &Said, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(said).expect("it has only texts and numbers");
    match timeout(ANSWER_TIMEOUT, channel.send(&text, beside)).await {
        Ok(sent) => sent,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

struct Guard {
    inventory: Inventory,
    shared: Shared,
    quarantined: BTreeSet<ApplianceIndex>,
    resets: Resets,
    /// When quotas begin anew, whatever workers come and go meanwhile.
    day_ends: Instant,
}

impl Guard {
    /// Serves a worker until it ends; none when the guard is to stop. The channel is closed then.
    async fn serve(
        &mut self,
        child: &mut Child,
        channel: Channel,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<ExitStatus> {
        let mut look = interval_at(Instant::now() + QUARANTINE_LOOK, QUARANTINE_LOOK);
        let talk = async {
            let greeting = serde_json::to_vec(&Greeting { version: VERSION }).expect("a greeting is JSON");
            channel.send(&greeting, &self.shared.borrow()).await?;
            self.resets.forget_worker();
            loop {
                while let Some((said, beside)) = self.resets.untold() {
                    send(&channel, &said, beside.as_slice()).await?;
                    self.resets.told();
                }
                let packet = tokio::select! {
                    received = channel.receive() => received?,
                    () = sleep_until(self.day_ends) => {
                        self.day_ends += DAY;
                        if let Err(error) = network::reset_quotas() {
                            error!(event = events::QUOTAS_NOT_RESET, %error, "quotas of devices were not begun anew");
                        }
                        continue;
                    }
                    _ = look.tick() => {
                        self.look();
                        continue;
                    }
                    over = self.resets.next() => {
                        if let Some((device, ResetEnd::Released)) = over {
                            self.quarantined.remove(&device);
                        }
                        continue;
                    }
                };
                let Some(packet) = packet else { return Ok(()) };
                let question: Question = serde_json::from_slice(&packet.bytes).map_err(io::Error::from)?;
                let (refused, descriptors) = match self.answer(&question.request) {
                    Ok(descriptors) => (None, descriptors),
                    Err(reason) => {
                        let device = question.request.device().0;
                        warn!(event = events::REFUSED, device, reason, "request of the worker was refused");
                        (Some(reason), Vec::new())
                    }
                };
                let answer = Said::Answer(Answer { number: question.number, refused });
                let beside: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                send(&channel, &answer, &beside).await?;
            }
        };
        let talked: io::Result<()> = tokio::select! {
            biased;
            () = stop.as_mut() => return None,
            talked = talk => talked,
        };
        if let Err(error) = talked {
            warn!(event = events::CHANNEL_FAILED, %error, "the channel to the worker failed");
        }
        drop(channel);
        // A worker without a channel is of no use, and may be in somebody else's hands.
        tokio::select! {
            biased;
            () = stop => None,
            status = timeout(STOP_GRACE, child.wait()) => match status {
                Ok(Ok(status)) => Some(status),
                Ok(Err(_)) | Err(_) => {
                    let _ = child.kill().await;
                    child.wait().await.ok()
                }
            },
        }
    }

    /// Begins what was due when an earlier guard ended. Each plan must be one that can be carried out.
    fn resume_resets(&mut self) -> Result<(), ExaminationError> {
        for index in (0..self.inventory.devices().len() as u16).map(ApplianceIndex) {
            if let Some(plan) = self.inventory.reset(index) {
                examination::secrets(plan)?;
            }
            if let Some(case) = self.automatic(index).filter(|_| self.quarantined.contains(&index)) {
                self.resets.resume(index, case);
            }
        }
        Ok(())
    }

    /// The reset of a device that follows an incident by itself.
    fn automatic(&self, index: ApplianceIndex) -> Option<Case> {
        let plan = self.inventory.reset(index).filter(|plan| plan.automatic)?.clone();
        Some(Case { index, device: self.inventory.device(index)?.clone(), plan })
    }

    /// Sees what an operator has done.
    fn look(&mut self) {
        let before = mem::replace(&mut self.quarantined, network::quarantined(&self.inventory));
        for device in before.difference(&self.quarantined) {
            if !self.resets.is_at(*device) {
                self.resets.over(*device, ResetEnd::Released);
            }
        }
    }

    /// Puts a device into quarantine after an incident.
    fn quarantine(&mut self, index: ApplianceIndex) -> Result<(), String> {
        let device = self.inventory.device(index).ok_or("there is no such device")?.clone();
        // Who put it there before decides what follows; but nobody who is at it now may open it.
        let is_new = !network::quarantined(&self.inventory).contains(&index);
        let case = self.automatic(index).filter(|_| is_new);
        // First the note: whoever ends a quarantine looks at it.
        self.resets.after_incident(index, &device.name, case);
        network::quarantine(&device).map_err(|error| error.to_string())?;
        self.quarantined.insert(index);
        Ok(())
    }

    /// Does what is asked, if it may be done.
    fn answer(&mut self, request: &Request) -> Result<Vec<OwnedFd>, String> {
        let index = request.device();
        let device = self.inventory.device(index).ok_or("there is no such device")?;
        match request {
            Request::Connect { port, client, .. } => {
                self.check_way(index, device, RelayTransport::Tcp, *port, *client)?;
                let to = SocketAddrV4::new(device.address, *port);
                sockets::stream_to(to, *client).map(|stream| vec![stream]).map_err(|error| error.to_string())
            }
            Request::Datagrams { original, client, .. } => {
                self.check_way(index, device, RelayTransport::Udp, original.port(), *client)?;
                if !device.relays(RelayTransport::Udp, *original) || !is_of_one_host(*original.ip()) {
                    return Err(format!("the device is not reached as {original}"));
                }
                let to = SocketAddrV4::new(device.address, original.port());
                let to_device = sockets::datagrams_between(*client, to).map_err(|error| error.to_string())?;
                let to_client = sockets::datagrams_between(*original, *client).map_err(|error| error.to_string())?;
                Ok(vec![to_device, to_client])
            }
            Request::DatagramsToDevice { port, client, .. } => {
                self.check_way(index, device, RelayTransport::Udp, *port, *client)?;
                let to = SocketAddrV4::new(device.address, *port);
                sockets::datagrams_between(*client, to).map(|socket| vec![socket]).map_err(|error| error.to_string())
            }
            Request::Allow { addresses, .. } => {
                self.check_cloud(device, addresses)?;
                network::allow(index, addresses).map_err(|error| error.to_string())?;
                Ok(Vec::new())
            }
            Request::Quarantine { .. } => {
                self.quarantine(index)?;
                Ok(Vec::new())
            }
            // Also in quarantine: what the device tries then is what one wants to see.
            Request::Capture { .. } => {
                capture::open(&device.interface).map(|frames| vec![frames]).map_err(|error| error.to_string())
            }
        }
    }

    /// Whether `client` may reach a port of a device.
    fn check_way(
        &self,
        index: ApplianceIndex,
        device: &Appliance,
        transport: RelayTransport,
        port: u16,
        client: SocketAddrV4,
    ) -> Result<(), String> {
        if self.quarantined.contains(&index) {
            return Err("the device is in quarantine".into());
        }
        let is_exposed =
            device.ports.iter().any(|one| (one.port, one.transport, one.relay) == (port, transport, RelayMode::User));
        if !is_exposed && !is_way_to_share(device, transport, port, *client.ip()) {
            return Err(format!("{} port {port} is not exposed", transport.as_str()));
        }
        if client.port() == 0 || !is_of_one_host(*client.ip()) || self.is_of_device(*client.ip()) {
            return Err(format!("{client} is no stranger's address"));
        }
        Ok(())
    }

    /// Whether a device's maker's cloud may be at these addresses.
    fn check_cloud(&self, device: &Appliance, addresses: &[Ipv4Addr]) -> Result<(), String> {
        const ANYBODY_ONLY: EgressRules = EgressRules { loopback: false, private: false, link_local: false };
        if device.egress != EgressProfile::VendorCloud {
            return Err("the device may not reach a cloud".into());
        }
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(format!("{} addresses at once", addresses.len()));
        }
        for address in addresses {
            ANYBODY_ONLY.check(IpAddr::V4(*address)).map_err(|denied| denied.to_string())?;
            if self.is_of_device(*address) {
                return Err(format!("{address} is a device's"));
            }
        }
        Ok(())
    }

    fn is_of_device(&self, address: Ipv4Addr) -> bool {
        self.inventory.devices().iter().any(|device| device.address == address)
    }
}

/// Whether it is this machine itself that wants to look at a device's shared folders. Nobody else's address is used for it.
fn is_way_to_share(device: &Appliance, transport: RelayTransport, port: u16, client: Ipv4Addr) -> bool {
    let is_its_port = device.share.as_ref().is_some_and(|share| share.port == port);
    transport == RelayTransport::Tcp
        && is_its_port
        && sockets::own_address_towards(device.address).is_ok_and(|own| own == client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_comes_to_the_port_of_shares() {
        let inventory = Inventory::parse(crate::inventory::tests::EXAMPLE).unwrap();
        let [other, device] = inventory.devices() else { panic!("the example has two devices") };
        // Whatever is on this machine is reached from there.
        let device = Appliance { address: Ipv4Addr::LOCALHOST, ..device.clone() };
        let check = |device: &Appliance, transport, port, client: [u8; 4], expected| {
            let is_way = is_way_to_share(device, transport, port, client.into());
            assert_eq!(is_way, expected, "{transport:?} {port} {client:?}");
        };
        check(&device, RelayTransport::Tcp, 445, [127, 0, 0, 1], true);
        check(&device, RelayTransport::Tcp, 445, [198, 51, 100, 7], false);
        check(&device, RelayTransport::Tcp, 22, [127, 0, 0, 1], false);
        check(&device, RelayTransport::Udp, 445, [127, 0, 0, 1], false);
        check(other, RelayTransport::Tcp, 445, [127, 0, 0, 1], false);
    }
}
