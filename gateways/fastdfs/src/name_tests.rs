//! Tables and properties of file names.

use proptest::prelude::*;

use super::*;

fn names() -> Names {
    Names::new([7; 32])
}

fn stamp() -> Stamp {
    Stamp {
        second: 1_795_170_462,
        number: 66_001,
        server: ServerId(5),
    }
}

fn new(extension: &str) -> NewName<'_> {
    NewName {
        volume: Some(VolumeId(0x12)),
        stamp: stamp(),
        kind: FileKind::Trunk(5_000),
        crc32: 0xdcf2_4e04,
        extension,
    }
}

#[test]
fn names_of_the_original_are_taken_apart() {
    let name = FileName::parse(b"M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin").expect("a name");
    assert_eq!(name.source, [127, 0, 0, 2]);
    assert_eq!(name.server(), None, "an address");
    assert_eq!(name.second, 0x6b00_209e);
    assert_eq!(name.kind, FileKind::Normal(5_000));
    assert_eq!(name.crc32, 0xdcf2_4e04);
    assert_eq!(name.volume(), None);
    assert!(!name.is_slave());
    assert_eq!(name.extension().1, "bin");
    assert_eq!(
        name.extension().0,
        "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805"
    );
    let slave = FileName::parse(b"M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805_150x150.jpg");
    assert!(slave.expect("a name").is_slave());
}

/// A name as another FastDFS makes it.
fn foreign(source: [u8; 4], size: u64, rest: &str) -> String {
    let mut raw = [0; base64::RAW_BYTES];
    raw[..4].copy_from_slice(&source);
    raw[4..8].copy_from_slice(&1_700_000_000_u32.to_be_bytes());
    raw[8..16].copy_from_slice(&size.to_be_bytes());
    raw[16..].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
    format!("M02/0A/FF/{}{rest}", base64::encode(&raw))
}

#[test]
fn names_of_another_tell_what_they_tell() {
    let trunk = "AAAAAQAAAAAAAEAA";
    let in_trunk = format!("{trunk}12345.a");
    let beside = format!("{trunk}12345_b.a");
    let table: &[(u64, &str, bool)] = &[
        (MARKED | 7 << 32 | 5, "805.bin", true),
        (MARKED | 5, "5561570", true),
        (MARKED | 5, ".abcdef", true),
        (MARKED | 5, ".tar.gz", true),
        (5 << 32, "805.bin", true),
        (MARKED | TRUNK | 5, &in_trunk, true),
        (MARKED | TRUNK | 5, &beside, false),
        (MARKED | APPENDER, "805.bin", false),
        (MARKED | 5, "805_150x150.jpg", false),
        // Slaves that are as long as files beside which there is nothing, and shorter.
        (MARKED | 5, "805_b.x", false),
        (MARKED | 5, "805_b", false),
        (MARKED | 5, "8055_s", false),
    ];
    for (size, rest, tells) in table {
        let text = foreign([10, 1, 2, 3], *size, rest);
        let name = FileName::parse(text.as_bytes()).expect("a name");
        assert_eq!(name.tells_content(), *tells, "{rest}");
        assert_eq!(
            names().given(&name),
            None,
            "{rest}: nobody here was given it"
        );
    }
}

#[test]
fn sources_are_addresses_or_numbers() {
    let table: &[([u8; 4], Option<[u8; 4]>)] = &[
        ([127, 0, 0, 2], Some([127, 0, 0, 2])),
        ([10, 1, 2, 3], Some([10, 1, 2, 3])),
        ([5, 0, 0, 0], None),
        ([0xa1, 0x86, 1, 0], None),
        ([0, 0, 0, 0], None),
    ];
    for (source, address) in table {
        let text = foreign(*source, MARKED | 5, "805.bin");
        let name = FileName::parse(text.as_bytes()).expect("a name");
        let expected = address.map(Ipv4Addr::from);
        assert_eq!(name.address(), expected, "{source:?}");
    }
}

#[test]
fn size_fields_tell_their_kind() {
    let table = [
        (MARKED | 5_000, FileKind::Normal(5_000)),
        (MARKED | 0x7f_ffff << 32 | 7, FileKind::Normal(7)),
        (5 << 32, FileKind::Normal(5 << 32)),
        (MARKED | APPENDER | 0x1234 << 32, FileKind::Appender),
        (MARKED | TRUNK | 9, FileKind::Trunk(9)),
        (MARKED, FileKind::Normal(0)),
    ];
    for (size, kind) in table {
        assert_eq!(kind_of(size), kind, "{size:x}");
    }
}

#[test]
fn extensions_fill_seven_letters() {
    for (extension, digits) in [("", 7), ("a", 5), ("bin", 3), ("abcdef", 0), ("tar.gz", 0)] {
        let name = names().make(&new(extension)).expect("a name");
        assert_eq!(name.len(), PLAIN_NAME_BYTES + TRUNK_BYTES, "{name}");
        let trailer = &name[PATH_BYTES + CODED_BYTES + TRUNK_BYTES..];
        assert!(
            trailer[..digits].bytes().all(|b| b.is_ascii_digit()),
            "{name}"
        );
        let parsed = FileName::parse(name.as_bytes()).expect("a name");
        assert_eq!(parsed.extension().1, extension);
        assert!(!parsed.is_slave());
    }
    for extension in ["abcdefg", "a/b", "a b", "ä"] {
        assert_eq!(names().make(&new(extension)), Err(NameFault));
    }
}

#[test]
fn a_name_says_where_the_file_is() {
    let name = names().make(&new("jpg")).expect("a name");
    assert!(name.starts_with("M00/00/12/"), "{name}");
    let parsed = FileName::parse(name.as_bytes()).expect("a name");
    let file = AnonymousFile {
        volume: VolumeId(0x12),
        stamp: stamp(),
    };
    assert_eq!(names().given(&parsed), Some(Given::Anonymous(file, 5_000)));
    assert_eq!(parsed.server(), Some(ServerId(5)));
    assert_eq!(Names::new([8; 32]).given(&parsed), None, "another cluster");
}

#[test]
fn files_with_a_record_have_plain_names() {
    for (kind, length) in [
        (FileKind::Appender, 44),
        (FileKind::Normal(5), 44),
        (FileKind::Normal(5 << 32), 44),
        (FileKind::Trunk(5), 60),
    ] {
        let volume = matches!(kind, FileKind::Trunk(_)).then_some(VolumeId(0x12));
        let new = NewName {
            kind,
            volume,
            ..new("a")
        };
        let name = names().make(&new).expect("a name");
        assert_eq!(name.len(), length);
        let parsed = FileName::parse(name.as_bytes()).expect("a name");
        assert_eq!(parsed.kind, kind);
        let given = names().given(&parsed).expect("given");
        assert_eq!(given == Given::Recorded, volume.is_none(), "{kind:?}");
        assert_eq!(Names::new([8; 32]).given(&parsed), None, "another cluster");
        // Slaves are told from what nobody was given, whatever their prefix.
        for end in ["_150x150.jpg", "x", ""] {
            let (stem, _) = parsed.extension();
            let slave = format!("{stem}{end}");
            let slave = FileName::parse(slave.as_bytes()).expect("a name");
            assert_eq!(names().given(&slave), Some(Given::Beside), "{kind:?} {end}");
            assert_eq!(Names::new([8; 32]).given(&slave), None);
        }
        let wrong = NewName {
            volume: volume.xor(Some(VolumeId(3))),
            ..new
        };
        assert_eq!(names().make(&wrong), Err(NameFault), "{kind:?}");
    }
}

#[test]
fn names_cannot_be_made_up() {
    // Bits that differ under another key although all else of the file is known, but for digits.
    for (kind, bits) in [
        (FileKind::Trunk(5), 102),
        (FileKind::Appender, 62),
        (FileKind::Normal(5), 30),
        (FileKind::Normal(5 << 32), 24),
    ] {
        let volume = matches!(kind, FileKind::Trunk(_)).then_some(VolumeId(0x12));
        let new = NewName {
            kind,
            volume,
            ..new("tar.gz")
        };
        let told = |key: u8| {
            let name = Names::new([key; 32]).make(&new).expect("a name");
            let place = FileName::parse(name.as_bytes()).expect("a name").place;
            let mut told = place.to_be_bytes().to_vec();
            let coded = &name.as_bytes()[PATH_BYTES..][..CODED_BYTES];
            told.extend(base64::decode(coded).expect("20 bytes"));
            // Letters that stand for 12 bytes, as the last 16 of 20 bytes' 27.
            if let Some(trunk) = name.get(PATH_BYTES + CODED_BYTES..name.len() - TRAILER_BYTES) {
                let filled = format!("{trunk:A<27}");
                told.extend(base64::decode(filled.as_bytes()).expect("20 bytes"));
            }
            told
        };
        let first = told(0);
        let mut differs = vec![0; first.len()];
        for key in 1..=255 {
            for (at, byte) in told(key).iter().enumerate() {
                differs[at] |= byte ^ first[at];
            }
        }
        let count: u32 = differs.iter().map(|byte: &u8| byte.count_ones()).sum();
        assert_eq!(count, bits, "{kind:?}");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    for text in [
        "",
        "M00/00/00/",
        "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ",
        "M0/000/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin",
        "Mab/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin",
        "N00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin",
        "M00/00/00/fwAAAmsAIJ6AC9vb/AATiNzyTgQ805.bin",
        "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ/../etc",
        "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.b\0n",
    ] {
        assert_eq!(FileName::parse(text.as_bytes()), Err(NameFault), "{text}");
    }
    let long = format!("M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ{}", "1".repeat(91));
    assert_eq!(FileName::parse(long.as_bytes()), Err(NameFault));
}

#[test]
fn a_name_with_another_letter_finds_nothing() {
    let name = names().make(&new("jpg")).expect("a name");
    for at in 0..name.len() {
        for letter in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".chars() {
            let mut changed = name.clone();
            changed.replace_range(at..=at, &letter.to_string());
            if changed != name
                && let Ok(parsed) = FileName::parse(changed.as_bytes())
            {
                let given = names().given(&parsed);
                assert!(matches!(given, None | Some(Given::Beside)), "{changed}");
            }
        }
    }
}

proptest! {
    #[test]
    fn names_come_back(
        place in 1_u32..=VOLUME_MAX, second: u32, number in 0_u32..1 << STAMP_NUMBER_BITS,
        server in 1_u16.., size: u32, crc32: u32, extension in "[A-Za-z0-9_-]{0,6}",
    ) {
        let stamp = Stamp { second, number, server: ServerId(server) };
        let volume = VolumeId(place);
        let kind = FileKind::Trunk(u64::from(size));
        let new = NewName { volume: Some(volume), stamp, kind, crc32, extension: &extension };
        let name = names().make(&new).expect("a name");
        let parsed = FileName::parse(name.as_bytes()).expect("a name");
        prop_assert_eq!((parsed.kind, parsed.crc32), (kind, crc32));
        let given = Given::Anonymous(AnonymousFile { volume, stamp }, size.into());
        prop_assert_eq!(names().given(&parsed), Some(given));
    }

    #[test]
    fn no_text_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
        if let Ok(name) = FileName::parse(&bytes) {
            prop_assert_eq!(names().given(&name), None);
            prop_assert!(!(name.tells_content() && name.is_slave()));
        }
    }
}
