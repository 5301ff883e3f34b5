//! Sockets as the configuration wants them: plain, or under TLS.

use std::sync::Arc;

use sdfs_net_layer::{TcpTransport, TlsError, TlsFiles, TlsTransport, Transport};

use super::operator::OperatorTls;
use super::{Config, Tls};

impl Config {
    /// Between servers, and between them and clients.
    ///
    /// # Errors
    /// When the files for TLS cannot be used.
    pub fn transport(&self) -> Result<Arc<dyn Transport>, TlsError> {
        match &self.tls {
            None => Ok(Arc::new(TcpTransport)),
            Some(tls) => Ok(Arc::new(TlsTransport::new(plain(), &files(tls))?)),
        }
    }

    /// At the doors for operators.
    ///
    /// # Errors
    /// When the files for TLS cannot be used.
    pub fn operator_transport(&self) -> Result<Arc<dyn Transport>, TlsError> {
        self.door_transport(self.operator.as_ref().map(|operator| operator.tls))
    }

    /// At the doors for FastDFS clients.
    ///
    /// # Errors
    /// When the files for TLS cannot be used.
    pub fn fastdfs_transport(&self) -> Result<Arc<dyn Transport>, TlsError> {
        self.door_transport(self.fastdfs.as_ref().map(|fastdfs| fastdfs.tls))
    }

    fn door_transport(&self, wanted: Option<OperatorTls>) -> Result<Arc<dyn Transport>, TlsError> {
        match (wanted.unwrap_or(OperatorTls::Off), &self.tls) {
            (OperatorTls::Server, Some(tls)) => {
                Ok(Arc::new(TlsTransport::for_anybody(plain(), &files(tls))?))
            }
            (OperatorTls::Mutual, Some(tls)) => {
                Ok(Arc::new(TlsTransport::new(plain(), &files(tls))?))
            }
            // A configuration that wants TLS there and has no files for it is refused.
            (OperatorTls::Off, _) | (_, None) => Ok(Arc::new(TcpTransport)),
        }
    }
}

fn plain() -> Arc<dyn Transport> {
    Arc::new(TcpTransport)
}

fn files(tls: &Tls) -> TlsFiles {
    TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        authority: tls.authority.clone(),
    }
}
