//! Gives back the memory of code and data that only starting up needed, or an answer.
//!
//! Parsing a command line and a settings file takes more code than all that herder does later, and
//! pages of code that are mapped count as herder's own memory. Nothing is lost: what is needed
//! again comes back from the page cache, without reading a disk.

use std::fs;
use std::ops::Range;
use std::ptr;

/// Gives back all pages of herder's program that are mapped from its file and cannot have been
/// written: its code and its constants.
pub fn give_back_code() {
    let (Ok(maps), Ok(program)) =
        (fs::read_to_string("/proc/self/maps"), fs::read_link("/proc/self/exe"))
    else {
        return;
    };
    for range in unwritten(&maps, &program.to_string_lossy()) {
        let start = ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: these pages are mapped from a file and were never written, so whatever is touched
        // again is the same again. Only memory depends on whether it works.
        unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) };
    }
}

/// Gives back the pages of the heap that hold nothing any more: an answer to a client, or what a settings file was
/// read into, may have taken megabytes for a moment.
pub fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: gives back free memory only; what is in use stays where it is.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The mappings of `program` up to its code, in the lines of `/proc/self/maps`
/// (proc_pid_maps(5)). What comes after the code is left alone: the loader has written addresses
/// into it before it made it read-only.
fn unwritten(maps: &str, program: &str) -> Vec<Range<usize>> {
    let own: Vec<(Range<usize>, &str)> = maps
        .lines()
        .filter(|line| line.ends_with(program))
        .filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let address = |text| usize::from_str_radix(text, 16).ok();
            Some((address(start)?..address(end)?, rest.get(..4)?))
        })
        .collect();
    let Some(code) = own.iter().position(|(_, access)| *access == "r-xp") else { return vec![] };
    let until_code = own.into_iter().take(code + 1);
    until_code.filter(|(_, access)| !access.contains('w')).map(|(range, _)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5589199f0000-558919a39000 r--p 00000000 fe:00 53 /usr/bin/herder
558919a39000-55891a085000 r-xp 00049000 fe:00 53 /usr/bin/herder
55891a085000-55891a08e000 r--p 001b4000 fe:00 53 /usr/bin/herder
55891a08e000-55891a090000 rw-p 001bc000 fe:00 53 /usr/bin/herder
55892bc2e000-55892bc4f000 rw-p 00000000 00:00 0 [heap]
7f3728592000-7f372859f000 r-xp 00000000 fe:00 32 /usr/lib/libc.so.6
";

    #[test]
    fn only_code_and_the_constants_before_it_are_given_back() {
        let ranges = unwritten(MAPS, "/usr/bin/herder");
        assert_eq!(ranges, [0x5589199f0000..0x558919a39000, 0x558919a39000..0x55891a085000]);
        assert!(unwritten(MAPS, "/usr/bin/other").is_empty());
    }

    #[test]
    fn the_program_goes_on() {
        give_back_code();
        assert_eq!(format!("{:?}", vec![1, 2]), "[1, 2]");
    }
}
