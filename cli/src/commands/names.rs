//! `rm`, `mv` and `mkdir`: names.

use crate::args::{Global, MkdirArgs, MvArgs, RmArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, warn};
use crate::session;

/// Deletes what the command line names; what fails is told and does not stop the rest.
pub(crate) async fn rm(global: &Global, args: &RmArgs, out: Output) -> Outcome {
    let paths = args.paths.iter().map(|path| session::path(path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    if paths.iter().any(|path| path.is_root()) {
        return Err(Failure::new(
            Code::Usage,
            "the root directory cannot be deleted",
        ));
    }
    let client = session::connect(global).await?;
    let mut deleted = Vec::with_capacity(paths.len());
    let mut failures = Failures::default();
    for path in paths {
        let outcome = match (args.recursive, args.now) {
            (false, false) => client.delete(path.as_str()).await,
            (true, false) => client.delete_all(path.as_str()).await,
            (false, true) => client.delete_now(path.as_str()).await,
            (true, true) => client.delete_all_now(path.as_str()).await,
        };
        match outcome {
            Ok(_) => deleted.push(path),
            Err(error) => failures.add(error.into()),
        }
    }
    out.json(&serde_json::json!({ "deleted": deleted, "failed": failures.told }));
    failures.finish()
}

/// Renames what the command line names.
pub(crate) async fn mv(global: &Global, args: &MvArgs, out: Output) -> Outcome {
    let from = session::path(&args.from)?;
    let Some((_, name)) = from.split_last() else {
        return Err(Failure::new(
            Code::Usage,
            "the root directory cannot be moved",
        ));
    };
    let to = session::path_or_directory(&args.to, name)?;
    let client = session::connect(global).await?;
    let moved = if args.no_replace {
        client.rename(from.as_str(), to.as_str()).await?
    } else {
        client.rename_over(from.as_str(), to.as_str()).await?
    };
    out.json(&serde_json::json!({
        "from": from, "to": to, "descriptor": moved.descriptor.to_string(),
    }));
    Ok(())
}

/// Makes the directories the command line names; what fails is told and does not stop the rest.
pub(crate) async fn mkdir(global: &Global, args: &MkdirArgs, out: Output) -> Outcome {
    let paths = args.paths.iter().map(|path| session::path(path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let client = session::connect(global).await?;
    let mut made = Vec::with_capacity(paths.len());
    let mut failures = Failures::default();
    for path in paths {
        let outcome = if args.parents {
            client.mkdir_all(path.as_str()).await
        } else {
            client.mkdir(path.as_str()).await
        };
        match outcome {
            Ok(_) => made.push(path),
            Err(error) => failures.add(error.into()),
        }
    }
    out.json(&serde_json::json!({ "made": made, "failed": failures.told }));
    failures.finish()
}

/// Failures of several names: all but the last are told as they come.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) told: Vec<String>,
    last: Option<Failure>,
}

impl Failures {
    pub(crate) fn add(&mut self, failure: Failure) {
        self.told.push(failure.what.clone());
        if let Some(before) = self.last.replace(failure) {
            warn(&format!("sdfs: {before}"));
        }
    }

    pub(crate) fn finish(self) -> Outcome {
        self.last.map_or(Ok(()), Err)
    }
}
