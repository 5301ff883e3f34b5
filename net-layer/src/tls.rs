//! Streams encrypted by rustls, over any other transport. Both ends show a certificate of the
//! configured authority, or only the one that is dialed; who they are is proven by the handshake
//! above.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Accept, TlsAcceptor, TlsConnector, server::TlsStream};

use crate::transport::{Acceptor, Stream, Transport};

/// The PEM files of one end.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain this end shows.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that signed the other ends' certificates.
    pub authority: PathBuf,
}

/// Why TLS cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificates and the key do not make a usable configuration.
    #[error("the certificate, key or authority cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The authority cannot check the other end.
    #[error("the authority cannot be used: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// TLS over another transport.
pub struct TlsTransport {
    below: Arc<dyn Transport>,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl TlsTransport {
    /// Reads the files once; streams then come from `below`.
    ///
    /// # Errors
    /// When a file cannot be read or the files do not fit together.
    pub fn new(below: Arc<dyn Transport>, files: &TlsFiles) -> Result<Self, TlsError> {
        Self::made(below, files, true)
    }

    /// As [`TlsTransport::new`], but whoever dials needs no certificate.
    ///
    /// # Errors
    /// As there.
    pub fn for_anybody(below: Arc<dyn Transport>, files: &TlsFiles) -> Result<Self, TlsError> {
        Self::made(below, files, false)
    }

    fn made(
        below: Arc<dyn Transport>,
        files: &TlsFiles,
        asks_certificate: bool,
    ) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
            file: files.key.clone(),
            source,
        })?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.authority)? {
            roots.add(authority)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::clone(&provider),
        )
        .build()?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let server = match asks_certificate {
            true => server.with_client_cert_verifier(verifier),
            false => server.with_no_client_auth(),
        }
        .with_single_cert(chain.clone(), key.clone_key())?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self {
            below,
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
        })
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::File {
            file: file.to_owned(),
            source,
        })
}

impl Transport for TlsTransport {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        let below = self.below.connect(address);
        let connector = self.connector.clone();
        Box::pin(async move {
            let name = ServerName::from(address.ip());
            let stream = connector.connect(name, below.await?).await?;
            Ok(Box::new(stream) as Stream)
        })
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        let below = self.below.bind(address);
        let acceptor = self.acceptor.clone();
        Box::pin(async move {
            Ok(Box::new(TlsAccepting {
                below: below.await?,
                acceptor,
            }) as Box<dyn Acceptor>)
        })
    }
}

struct TlsAccepting {
    below: Box<dyn Acceptor>,
    acceptor: TlsAcceptor,
}

impl Acceptor for TlsAccepting {
    fn local_address(&self) -> io::Result<SocketAddr> {
        self.below.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.below.accept().await?;
            let accepting = Accepting::Shaking(Box::new(self.acceptor.accept(stream)));
            Ok((
                Box::new(LazyTls {
                    accepting,
                    waiting: Vec::new(),
                }) as Stream,
                peer,
            ))
        })
    }
}

/// An accepted stream whose TLS handshake happens at its first use, so that a slow stranger holds
/// up no other accept.
struct LazyTls {
    accepting: Accepting,
    /// The reading and the writing task both may wait for the handshake, which remembers only the
    /// last of them.
    waiting: Vec<Waker>,
}

enum Accepting {
    Shaking(Box<Accept<Stream>>),
    Done(Box<TlsStream<Stream>>),
    Failed,
}

impl LazyTls {
    fn poll_stream(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<Stream>>>> {
        if let Accepting::Shaking(accept) = &mut self.accepting {
            match Pin::new(accept.as_mut()).poll(context) {
                Poll::Pending => {
                    self.waiting
                        .retain(|waker| !waker.will_wake(context.waker()));
                    self.waiting.push(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Ok(stream)) => self.accepting = Accepting::Done(Box::new(stream)),
                Poll::Ready(Err(error)) => {
                    self.accepting = Accepting::Failed;
                    self.wake_all();
                    return Poll::Ready(Err(error));
                }
            }
            self.wake_all();
        }
        match &mut self.accepting {
            Accepting::Done(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    fn wake_all(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

impl AsyncRead for LazyTls {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut().poll_stream(context) {
            Poll::Ready(Ok(stream)) => stream.poll_read(context, buffer),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for LazyTls {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut().poll_stream(context) {
            Poll::Ready(Ok(stream)) => stream.poll_write(context, bytes),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().poll_stream(context) {
            Poll::Ready(Ok(stream)) => stream.poll_flush(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().poll_stream(context) {
            Poll::Ready(Ok(stream)) => stream.poll_shutdown(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}
