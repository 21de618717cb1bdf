//! The sockets of the administration, and what they give access to.

use super::AppError;
use super::upgrade::Inherited;
use crate::admin::{Access, AdminTls, Socket, SocketFile, Tokens};
use crate::config::{Admin, AdminAddress};
use tokio::sync::watch;

/// What the administration listens on.
pub(super) struct Administration {
    /// All of it, and where configured, what may be read only.
    pub(super) sockets: Vec<(Socket, Access)>,
    /// The file of a Unix socket.
    pub(super) file: Option<SocketFile>,
}

/// Reads its tokens and opens its sockets, or takes those of the process that ran before.
///
/// # Errors
/// When a token file cannot be used or an address cannot be listened on.
pub(super) fn administration(
    admin: &Admin,
    inherited: &mut Inherited,
    tls: Option<AdminTls>,
    replaced: watch::Receiver<bool>,
) -> Result<Administration, AppError> {
    let tokens = admin.token_file.as_ref();
    let tokens = tokens.map(|all| Tokens::read(all, admin.read_token_file.as_deref()));
    let access = match &admin.address {
        AdminAddress::Tcp(address) => Access::whole(*address, &admin.hosts),
        AdminAddress::Unix(_) => Access::unix(&admin.hosts),
    };
    let access = access.with_tokens(tokens.transpose()?).with_tls(tls);
    let (socket, is_inherited) = admin_socket(&admin.address, admin.socket_mode, inherited)?;
    let file = SocketFile::of(&admin.address, is_inherited, replaced);
    let mut sockets = vec![(socket, access)];
    if let Some(address) = admin.probes {
        let (socket, _) = admin_socket(&AdminAddress::Tcp(address), 0, inherited)?;
        sockets.push((socket, Access::probes(&admin.hosts)));
    }
    Ok(Administration { sockets, file })
}

/// A socket at an address, and whether it is that of the process that ran before.
fn admin_socket(address: &AdminAddress, mode: u32, inherited: &mut Inherited) -> Result<(Socket, bool), AppError> {
    let inherited = inherited.take_admin(address);
    let is_inherited = inherited.is_some();
    let bound = inherited.map_or_else(|| Socket::bind(address, mode), Ok);
    let bound = bound.and_then(|socket| socket.set_nonblocking().map(|()| socket));
    let bound = bound.map_err(|error| AppError::Admin {
        address: address.clone(),
        error,
    })?;
    Ok((bound, is_inherited))
}
