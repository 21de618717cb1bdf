//! An access log in blocks of whole lines, in bounded memory.

use memchr::{memchr, memchr_iter, memrchr};
use std::io::{self, Read};

/// How much is read at a time, in bytes.
const READ: usize = 256 << 10;

/// The longest line, in bytes. Portolan's own are shorter: targets of requests are limited.
const LONGEST: usize = 1 << 20;

/// Whole lines.
#[derive(Debug)]
pub(super) struct Block {
    /// The number of the first one, from 1.
    pub(super) first: u64,
    pub(super) bytes: Vec<u8>,
}

/// Reads blocks.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    input: R,
    /// The beginning of a line whose end has not been read.
    rest: Vec<u8>,
    line: u64,
    /// In a line that is too long.
    skips: bool,
    is_over: bool,
    /// The numbers of lines that were too long.
    pub(super) long: Vec<u64>,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            rest: Vec::new(),
            line: 1,
            skips: false,
            is_over: false,
            long: Vec::new(),
        }
    }

    /// The next block; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Block>> {
        while !self.is_over {
            let before = self.rest.len();
            self.rest.resize(before + READ, 0);
            let read = self.read(before)?;
            self.rest.truncate(before + read);
            self.is_over = read == 0;
            if self.skips {
                let end = memchr(b'\n', &self.rest);
                self.rest.drain(..end.map_or(self.rest.len(), |end| end + 1));
                self.skips = end.is_none();
                self.line += u64::from(end.is_some());
            }
            if let Some(last) = memrchr(b'\n', &self.rest) {
                let rest = self.rest.split_off(last + 1);
                return Ok(Some(self.block(rest)));
            }
            if self.rest.len() > LONGEST {
                self.long.push(self.line);
                self.rest.clear();
                self.skips = true;
            }
        }
        Ok((!self.rest.is_empty()).then(|| self.block(Vec::new())))
    }

    fn block(&mut self, rest: Vec<u8>) -> Block {
        let bytes = std::mem::replace(&mut self.rest, rest);
        let first = self.line;
        self.line += memchr_iter(b'\n', &bytes).count() as u64;
        Block { first, bytes }
    }

    fn read(&mut self, at: usize) -> io::Result<usize> {
        loop {
            match self.input.read(&mut self.rest[at..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn lines(text: &[u8], at_a_time: usize) -> (Vec<(u64, usize)>, Vec<u64>) {
        let mut blocks = Blocks::new(Slow(text, at_a_time));
        let mut found = Vec::new();
        while let Some(Block { first, bytes }) = blocks.next().expect("read") {
            let lines = (first..).zip(bytes.split(|byte| *byte == b'\n'));
            found.extend(
                lines
                    .filter(|it| !it.1.is_empty())
                    .map(|(number, line)| (number, line.len())),
            );
        }
        (found, blocks.long)
    }

    #[test]
    fn lines_are_whole_and_numbered_however_they_come() {
        for at_a_time in [1, 2, 3, 100] {
            let (found, long) = lines(b"aa\n\nb\nccc", at_a_time);
            assert_eq!(found, [(1, 2), (3, 1), (4, 3)], "{at_a_time}");
            assert!(long.is_empty());
        }
        assert_eq!(lines(b"", 1).0, []);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let text = [b"a\n".to_vec(), vec![b'x'; 3 * LONGEST], b"\nb\n".to_vec()].concat();
        let (found, long) = lines(&text, READ);
        assert_eq!((found, long), (vec![(1, 1), (3, 1)], vec![2]));
        let mut blocks = Blocks::new(Slow(&text, READ));
        while blocks.next().expect("read").is_some() {
            assert!(
                blocks.rest.capacity() < 2 * (LONGEST + 2 * READ),
                "{}",
                blocks.rest.capacity()
            );
        }
    }
}
