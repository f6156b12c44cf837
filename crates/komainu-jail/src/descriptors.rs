//! Which descriptors may be given to a jail.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::sys::statfs::{
    BPF_FS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, NSFS_MAGIC, PROC_SUPER_MAGIC,
    SECURITYFS_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC, fstatfs,
};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType, getpeername};

/// Descriptors that a jail is given: QEMU has its two pairs for the guest, one for commands, its snapshot and its output.
pub const DESCRIPTORS_MAX: usize = 16;

/// Says why a descriptor must not be given to a jail; nothing if it may.
///
/// A descriptor is a hole in the wall of the jail: what can be done with it was decided where it was opened. So a jail gets
/// regular files, pipes, events (eventfd) and connected Unix sockets of the types stream and seqpacket. Datagram sockets are
/// refused: each datagram may name its receiver, and the abstract names are those of where the socket was made, outside
/// (unix(7); the name stands in memory, which no filter of system calls sees). QEMU's `-netdev dgram` takes a seqpacket
/// socket as well.
pub fn check_descriptor(descriptor: BorrowedFd<'_>) -> Result<(), &'static str> {
    let Ok(status) = fstat(descriptor) else { return Err("it cannot be looked at") };
    let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFREG {
        check_file(descriptor)
    } else if kind == SFlag::S_IFIFO {
        Ok(())
    } else if kind == SFlag::S_IFSOCK {
        check_socket(descriptor)
    } else if kind == SFlag::S_IFCHR {
        // The device that swallows everything (admin-guide/devices.txt).
        let is_null = (major(status.st_rdev), minor(status.st_rdev)) == (1, 3);
        if is_null { Ok(()) } else { Err("it is a device or a terminal") }
    } else if kind.is_empty() {
        check_anonymous(descriptor)
    } else {
        Err("it is a folder or a disk")
    }
}

/// Files by which the kernel is steered, and namespaces, look like regular ones.
fn check_file(file: BorrowedFd<'_>) -> Result<(), &'static str> {
    let is_of_kernel = match fstatfs(file).map(|system| system.filesystem_type()) {
        Ok(PROC_SUPER_MAGIC | SYSFS_MAGIC | NSFS_MAGIC | CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC) => true,
        Ok(DEBUGFS_MAGIC | TRACEFS_MAGIC | BPF_FS_MAGIC | SECURITYFS_MAGIC) => true,
        Ok(_) => false,
        Err(_) => return Err("it cannot be looked at"),
    };
    if is_of_kernel { Err("it is a file of the kernel's") } else { Ok(()) }
}

fn check_socket(socket: BorrowedFd<'_>) -> Result<(), &'static str> {
    if socket_domain(socket) != Ok(AddressFamily::UNIX) {
        return Err("it is a socket of a network: only Unix sockets may be given");
    }
    match socket_type(socket) {
        Ok(SocketType::STREAM | SocketType::SEQPACKET) => {}
        _ => return Err("it is a datagram socket, which can send to any name: give one of type SOCK_SEQPACKET"),
    }
    if socket_acceptconn(socket) != Ok(false) || getpeername(socket).is_err() {
        return Err("it is a socket that is not connected");
    }
    Ok(())
}

/// What has no type is told apart by its name.
fn check_anonymous(descriptor: BorrowedFd<'_>) -> Result<(), &'static str> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd());
    match std::fs::read_link(path) {
        Ok(name) if name.as_os_str() == "anon_inode:[eventfd]" => Ok(()),
        _ => Err("it is neither a file nor a pipe nor a socket"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn only_descriptors_that_reach_nothing_else_may_be_given() {
        let check = |descriptor: BorrowedFd<'_>, expected: Option<&str>| match (check_descriptor(descriptor), expected)
        {
            (Ok(()), None) => (),
            (Err(reason), Some(text)) => assert!(reason.contains(text), "{reason}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        };
        let folder = tempfile::tempdir().unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        let (datagrams, _peer) = UnixDatagram::pair().unwrap();
        let (packets, _peer) = crate::message::pair().unwrap();
        let (pipe, _end) = nix::unistd::pipe().unwrap();
        check(stream.as_fd(), None);
        check(packets.as_fd(), None);
        check(pipe.as_fd(), None);
        check(tempfile::tempfile().unwrap().as_fd(), None);
        check(File::open("/dev/null").unwrap().as_fd(), None);
        check(datagrams.as_fd(), Some("SOCK_SEQPACKET"));
        check(UnixListener::bind(folder.path().join("socket")).unwrap().as_fd(), Some("not connected"));
        check(TcpListener::bind("127.0.0.1:0").unwrap().as_fd(), Some("network"));
        check(UdpSocket::bind("127.0.0.1:0").unwrap().as_fd(), Some("network"));
        check(File::open(folder.path()).unwrap().as_fd(), Some("folder"));
        check(File::open("/dev/ptmx").unwrap().as_fd(), Some("terminal"));
        check(File::open("/proc/self/ns/net").unwrap().as_fd(), Some("kernel"));
        check(File::open("/proc/self/status").unwrap().as_fd(), Some("kernel"));
        let process = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
        assert!(check_descriptor(process.unwrap().as_fd()).is_err(), "a process is no file");
    }
}
