use super::*;

/// Files that db5.3_load wrote, with pages of 512 bytes.
macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../tests/fuzz/corpus/bdb/", $name)))
    };
}

const PLAIN: [(&str, &[u8]); 4] =
    [file!("hash_1234"), file!("hash_4321"), file!("btree_1234"), file!("btree_4321")];
const DUPLICATES: [(&str, &[u8]); 4] = [
    file!("hash_1234_duplicates"),
    file!("hash_4321_sorted"),
    file!("btree_1234_sorted"),
    file!("btree_4321_duplicates"),
];

fn kind(name: &str) -> Kind {
    if name.starts_with("hash") { Kind::Hash } else { Kind::Btree }
}

fn get(name: &str, file: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
    Bdb::open(file, kind(name))?.get(key)
}

#[test]
fn keys_have_their_values_in_both_byte_orders() {
    for (name, file) in PLAIN {
        for i in 0..24u32 {
            let value = get(name, file, &fill!("key{}", i)).unwrap();
            assert_eq!(value, Some(fill!("value {}", i)), "{name} {i}");
            assert_eq!(get(name, file, &fill!("key{}x", i)).unwrap(), None, "{name} {i}");
        }
        for absent in [&b""[..], b"a", b"key", b"zzz", &[b'k'; 299], &[b'k'; 301], &[0xff; 9]] {
            assert_eq!(get(name, file, absent).unwrap(), None, "{name}");
        }
    }
}

#[test]
fn what_is_larger_than_a_page_is_found_on_overflow_pages() {
    for (name, file) in PLAIN {
        assert_eq!(get(name, file, b"big").unwrap(), Some(vec![b'v'; 700]), "{name}");
        assert_eq!(get(name, file, &[b'k'; 300]).unwrap(), Some(b"long".to_vec()), "{name}");
    }
}

#[test]
fn the_first_of_several_values_counts() {
    for (name, file) in DUPLICATES {
        for key in ["few", "many", "key1"] {
            let value = get(name, file, key.as_bytes()).unwrap();
            assert_eq!(value, Some(format!("000 of {key}").into_bytes()), "{name}");
        }
    }
}

#[test]
fn a_file_of_the_other_kind_is_refused() {
    for (name, file) in PLAIN {
        let other = if kind(name) == Kind::Hash { Kind::Btree } else { Kind::Hash };
        assert!(Bdb::open(file, other).is_err());
        assert!(matches!(Bdb::open(&b"no"[..], kind(name)), Err(Broken::Format(_))));
    }
}

#[test]
fn what_is_cut_short_is_no_value_and_no_absence() {
    for (name, file) in PLAIN {
        let right = get(name, file, b"key7").unwrap();
        for len in 0..file.len() {
            // Whole pages may be missing that this key does not need.
            if let Ok(value) = get(name, &file[..len], b"key7") {
                assert_eq!(value, right, "{name} {len}");
            }
        }
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let (_, good) = PLAIN[0];
    for (at, byte, what) in [
        (16, 10, "unsupported version"),
        (20, 0xff, "no such page size"),
        (24, 1, "encrypted"),
        (25, 9, "unexpected file type or format"),
        (36, 1, "in several files"),
        (48, 2, "several databases in one file"),
        (92, 0, "incompatible hash function"),
    ] {
        let mut file = good.to_vec();
        file[at] = byte;
        assert_eq!(Bdb::open(&file[..], Kind::Hash).err().unwrap().to_string(), what);
    }
}

#[test]
fn chains_and_trees_that_go_round_have_an_end() {
    for (name, good) in PLAIN {
        let order = if name.ends_with("1234") { u32::to_le_bytes } else { u32::to_be_bytes };
        for page in 1..good.len() / 512 {
            let mut file = good.to_vec();
            // This page goes on with itself; in a tree, each child is the root.
            file[page * 512 + 16..page * 512 + 20].copy_from_slice(&order(page as u32));
            for key in [&b"absent"[..], b"big", &[b'k'; 300], b"key1"] {
                let _ = get(name, &file, key);
            }
        }
    }
    let (name, good) = file!("btree_1234");
    let root = 512 * good[88] as usize;
    assert_eq!(good[root + 25], BTREE_INNER);
    let first = usize::from(u16::from_le_bytes([good[root + 26], good[root + 27]]));
    let mut file = good.to_vec();
    file[root + first + 4] = good[88];
    let error = get(name, &file, b"a").unwrap_err().to_string();
    assert_eq!(error, "a child is as high as its parent");
}
