//! Logging in: the check, which may take its time, and what a wrong guess costs.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::{Connection, End};
use crate::smtp::auth::{Authentication, Authenticator, Credentials, Guesser};
use crate::stranger::delay;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Has credentials checked, and says what came of it.
    ///
    /// Meanwhile nothing is read, and the time to be silent does not run: it is we who let the client wait.
    pub(super) async fn log_in(&mut self, credentials: Credentials) -> Result<(), End> {
        // What was said before must not wait for the check.
        self.flush().await?;
        let peer = self.session.peer();
        let service = self.service;
        let user = service.authenticator.known_name(&credentials);
        let guesser = service.authenticator.guesser(&credentials, peer);
        let checking = async {
            let result = service.authenticator.verify(credentials, peer).await;
            if matches!(result, Authentication::Wrong) {
                hold_back(&service.authenticator, guesser, peer.address, user).await;
            }
            result
        };
        let result = tokio::select! {
            biased;
            result = checking => result,
            () = service.shutdown.cancelled() => return Err(End::ShuttingDown),
        };
        match &result {
            Authentication::Accepted(_) => debug!(peer = %peer.address, user, "logged in"),
            Authentication::Wrong => {}
            Authentication::Unavailable(reason) => {
                debug!(peer = %peer.address, user, reason, "a login could not be checked");
            }
        }
        let (reply, farewell) = self.session.authenticated(result);
        self.say(&reply);
        // The lines of AUTH may have been long.
        self.input.narrow();
        farewell.map_or(Ok(()), |farewell| Err(End::Said(farewell)))
    }
}

/// Tells the operator about a wrong guess, and makes the next one slower.
async fn hold_back(
    authenticator: &Authenticator,
    guesser: Guesser,
    address: IpAddr,
    user: Option<&str>,
) {
    let failures = authenticator.failures(guesser);
    warn!(peer = %address, user, attempts = failures, "a login failed: wrong credentials");
    tokio::time::sleep(delay(failures)).await;
}
