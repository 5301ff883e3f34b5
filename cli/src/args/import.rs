//! Arguments of `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Copy what a FastDFS has; its file ids stay good
    #[command(
        long_about = "Copies what a FastDFS has, with metadata; its file ids stay good here.\n\n\
                      From the disk of a storage (--path), or over the network (--tracker): there \
                      from a storage's own list, or those that --ids names. Sizes and checksums \
                      told by names are checked; what is damaged is told by its id and left out. \
                      What is here already is left as it is, so a run that was stopped is gone on \
                      with by the same command.",
        after_help = "Examples:\n  \
            sdfs import fastdfs --group group1 --path /data/fdfs0 --path /data/fdfs1\n  \
            sdfs import fastdfs --tracker 10.0.0.1:22122,10.0.0.2:22122\n  \
            psql -Atc 'select id from files' | sdfs import fastdfs --tracker old:22122 --ids -"
    )]
    Fastdfs(ImportFastdfsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportFastdfsArgs {
    /// A store path, which has a folder `data`: M00, the next one M01, .. or as named: M02=/disk3
    #[arg(long = "path", value_name = "[M00=]FOLDER", value_parser = parse_path)]
    #[arg(
        required_unless_present = "trackers",
        conflicts_with = "trackers",
        requires = "group"
    )]
    pub(crate) paths: Vec<PathArg>,
    /// Trackers of the FastDFS; port 22122 unless one is given
    #[arg(long = "tracker", value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub(crate) trackers: Vec<String>,
    /// The group: of the store paths, or the only one to take
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// The file ids to take, one a line; - is standard input. Else a storage is asked for its list
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    pub(crate) ids: Option<PathBuf>,
    /// Files on their way at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) concurrency: u16,
}

/// A store path as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathArg {
    /// Its number, when it is named.
    pub(crate) number: Option<u8>,
    pub(crate) folder: PathBuf,
}

fn parse_path(text: &str) -> Result<PathArg, String> {
    let named = text.strip_prefix('M').and_then(|rest| rest.split_once('='));
    let Some((digits, folder)) = named.filter(|(digits, _)| digits.len() == 2) else {
        return Ok(PathArg {
            number: None,
            folder: text.into(),
        });
    };
    let number = u8::from_str_radix(digits, 16);
    let number = number.map_err(|_| format!("'M{digits}' is no store path, as M00 or M0A is"))?;
    Ok(PathArg {
        number: Some(number),
        folder: folder.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_paths_may_be_named() {
        let table = [
            ("/data/fdfs", Ok((None, "/data/fdfs"))),
            ("M00=/data/fdfs", Ok((Some(0), "/data/fdfs"))),
            ("M0A=/a=b", Ok((Some(10), "/a=b"))),
            ("Media", Ok((None, "Media"))),
            ("Media=1", Ok((None, "Media=1"))),
            ("MXY=/data", Err(())),
        ];
        for (text, expected) in table {
            let found = parse_path(text).map_err(drop);
            let expected = expected.map(|(number, folder)| PathArg {
                number,
                folder: folder.into(),
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
