//! `quota`: how much may be below a directory.

use sdfs_types::calls::names::Quota;

use crate::args::{Global, QuotaArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session;
use crate::units;

/// Shows, sets or lifts a quota.
pub(crate) async fn run(global: &Global, args: &QuotaArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let client = session::connect(global).await?;
    let stat = client.stat(path.as_str()).await?;
    if stat.file.is_some() {
        let what = format!("{path} is a file; quotas belong to directories");
        return Err(Failure::new(Code::Refused, what));
    }
    let is_setting = args.files.is_some() || args.bytes.is_some();
    let quota = if is_setting || args.lift {
        let before = stat.quota.unwrap_or_default();
        let keep = |new: Option<u64>, old: Option<u64>| if args.lift { None } else { new.or(old) };
        let files_max = keep(args.files, before.files_max);
        let bytes_max = keep(args.bytes, before.bytes_max);
        Some(
            client
                .set_quota(path.as_str(), files_max, bytes_max)
                .await?,
        )
    } else {
        stat.quota
    };
    out.json(&serde_json::json!({ "path": path, "quota": quota }));
    match quota.filter(|quota| quota.files_max.is_some() || quota.bytes_max.is_some()) {
        Some(quota) => out.say(&format!("{path}  {}", sentence(&quota))),
        None => out.say(&format!("{path} has no quota")),
    }
    Ok(())
}

/// A quota in words.
pub(crate) fn sentence(quota: &Quota) -> String {
    let files = match quota.files_max {
        Some(max) => format!(
            "{} of {} files",
            units::count(quota.files_used),
            units::count(max)
        ),
        None => format!("{} files", units::count(quota.files_used)),
    };
    let bytes = match quota.bytes_max {
        Some(max) => format!("{} of {}", units::size(quota.bytes_used), units::size(max)),
        None => units::size(quota.bytes_used),
    };
    format!("{files}, {bytes}")
}
