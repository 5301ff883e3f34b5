//! What is answered to which request for a file.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use sdfs_server_group::{LinkSecret, Role};
use sdfs_types::clock;

use super::body::{Body, body_from, body_of};
use super::condition::{Validators, Wanted, date_of, wanted};
use super::content_type::content_type;
use super::instead::Instead;
use super::link::Links;
use crate::counters::Counted;
use crate::group_name::{all_groups, group_of};
use crate::limits::READ_WAIT;
use crate::name::{FileKind, FileName, Given};
use crate::source::Source;
use crate::storage::Storage;
use crate::view::heard;

/// The files behind an HTTP door.
pub(crate) struct Site {
    pub(crate) storage: Arc<Storage>,
    group: String,
    /// `None` when links need no token.
    links: Option<Links>,
    /// Whose turn it is among the servers of another group.
    turns: AtomicUsize,
}

/// A file that is there.
struct Found {
    source: Source,
    size: u64,
    validators: Validators,
}

impl Site {
    pub(crate) fn new(storage: Arc<Storage>, group: &str, secret: Option<LinkSecret>) -> Self {
        let link_ttl_s = storage.settings.link_ttl_s;
        Self {
            storage,
            group: group.to_owned(),
            links: secret.map(|secret| Links::new(secret, link_ttl_s)),
            turns: AtomicUsize::new(0),
        }
    }

    /// The answer to a request, and how it is counted.
    pub(crate) async fn answer<B>(
        &self,
        request: &Request<B>,
        client: IpAddr,
    ) -> (Counted, Response<Body>) {
        let (counted, mut response) = match self.file(request, client).await {
            Ok(answer) => answer,
            Err(instead) => instead.answer(),
        };
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        (counted, response)
    }

    async fn file<B>(
        &self,
        request: &Request<B>,
        client: IpAddr,
    ) -> Result<(Counted, Response<Body>), Instead> {
        let is_get = request.method() == Method::GET;
        if !is_get && request.method() != Method::HEAD {
            return Err(Instead::NotAllowed);
        }
        let name = self.name(request.uri(), client)?;
        if let Some(links) = &self.links {
            let now_s = clock::now_ms() / 1_000;
            let good = links.check(name.text, request.uri().query(), now_s);
            good.map_err(Instead::Forbidden)?;
        }
        let found = self.find(&name).await?;
        let size = found.size;
        let wanted = wanted(request.headers(), &found.validators, (size, is_get));
        let (status, range) = match wanted {
            Wanted::NotModified => (StatusCode::NOT_MODIFIED, 0..0),
            Wanted::Outside => return Err(Instead::Outside(size)),
            Wanted::Whole => (StatusCode::OK, 0..size),
            Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        };
        let mut headers = found.validators.headers();
        if status != StatusCode::NOT_MODIFIED {
            let bytes = range.end - range.start;
            headers.insert(CONTENT_LENGTH, bytes.into());
            let kind = HeaderValue::from_static(content_type(name.extension().1));
            headers.insert(CONTENT_TYPE, kind);
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if status == StatusCode::PARTIAL_CONTENT {
            let told = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            put(&mut headers, CONTENT_RANGE, told);
        }
        let body = match is_get {
            true => body_from(found.source, range).await?,
            false => body_of(""),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let counted = match status {
            StatusCode::NOT_MODIFIED => Counted::NotModified,
            _ => Counted::Served,
        };
        Ok((counted, response))
    }

    /// The name in a path that leads to a file of this server's group.
    fn name<'a>(&self, uri: &'a Uri, client: IpAddr) -> Result<FileName<'a>, Instead> {
        let path = uri.path().strip_prefix('/').unwrap_or("");
        let (group, name) = path.split_once('/').unwrap_or((path, ""));
        let config = self.storage.mesh.config();
        if !all_groups(config, &self.storage.settings).contains(group) {
            return Err(Instead::NoSuchGroup);
        }
        let name = FileName::parse(name.as_bytes()).map_err(|_| Instead::WrongName)?;
        match group == self.group {
            true => Ok(name),
            false => Err(self.elsewhere(group, uri, client)),
        }
    }

    /// The same at a server of another group.
    fn elsewhere(&self, group: &str, uri: &Uri, client: IpAddr) -> Instead {
        let Storage { mesh, settings, .. } = &*self.storage;
        let (config, heard) = (mesh.config(), heard(mesh));
        let of_group = mesh.all(Role::Dserver).into_iter();
        let of_group = of_group.filter(|id| heard.contains(id)).filter_map(|id| {
            let server = mesh.server(id)?;
            let is_its = group_of(config, settings, &server) == Some(group);
            let door = settings.http_url_for(client, config, &server)?;
            is_its.then_some(door)
        });
        let doors: Vec<String> = of_group.collect();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let Some(door) = doors.get(turn % doors.len().max(1)) else {
            return Instead::NobodyThere;
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Instead::SentOn(format!("{door}{path}"))
    }

    async fn find(&self, name: &FileName<'_>) -> Result<Found, Instead> {
        let storage = &self.storage;
        let given = storage.locate(name).await?;
        if let Given::Anonymous(file, size) = given {
            storage.expect_block(file, size).await?;
            return Ok(Found {
                source: Source::Anonymous(storage.files.clone(), file),
                size,
                validators: Validators {
                    // Nobody is given the same name again.
                    etag: format!("\"{}\"", name.text),
                    modified_s: name.second.into(),
                    is_fixed: true,
                },
            });
        }
        let file = storage.recorded.open_within(name.text, READ_WAIT);
        let file = file.await?;
        let record = file.meta_data();
        let is_fixed = given == Given::Recorded && name.kind != FileKind::Appender;
        let (etag, modified_s) = match is_fixed {
            true => (name.text.to_owned(), name.second.into()),
            // An appender file changes, and a slave file may be made anew under its name.
            false => {
                let life = format!("{}-{}", record.descriptor, record.revision);
                (life, record.modified_ms / 1_000)
            }
        };
        Ok(Found {
            size: record.size_bytes,
            validators: Validators {
                etag: format!("\"{etag}\""),
                modified_s,
                is_fixed,
            },
            source: Source::RecordedAt(Arc::new(file), record.revision),
        })
    }
}

impl Validators {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        put(&mut headers, ETAG, self.etag.clone());
        put(&mut headers, LAST_MODIFIED, date_of(self.modified_s));
        headers
    }
}

/// Sets a header whose value is made of letters, digits and signs that every header may have.
fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
