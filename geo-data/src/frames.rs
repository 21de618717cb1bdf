//! Sections of compressed frames. A frame is unpacked into memory that is used again for the next one, and stays in the
//! processor's caches: what fills dozens of megabytes at once costs more in fresh pages than in unpacking.

use std::io;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

/// Far above any real table; a section that unpacks to more was made to exhaust memory.
const MAX_UNPACKED: u64 = 512 << 20;

/// Why bytes are no section, or its content is no part of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) &'static str);

impl Damage {
    pub(crate) const CUT_SHORT: Self = Self("it was cut short");
    pub(crate) const COMPRESSION: Self = Self("its checksum or compression is wrong");
    pub(crate) const SENSELESS: Self = Self("its content makes no sense");
}

/// A compressor at a level of zstd, for frames with checksums.
pub(crate) fn compressor(level: i32) -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.include_checksum(true)?;
    Ok(compressor)
}

/// The frames of a section that are left to unpack.
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
    decompressor: Decompressor<'static>,
    /// What the last frame held.
    content: Vec<u8>,
    /// The length of everything that is left, unpacked.
    unpacked: u64,
}

impl<'a> Frames<'a> {
    /// The frames of a section; looks at what they say of themselves only.
    pub(crate) fn new(section: &'a [u8]) -> Result<Self, Damage> {
        let (mut rest, mut unpacked, mut longest) = (section, 0_u64, 0);
        while !rest.is_empty() {
            let (frame, following) = split(rest)?;
            let length = content_length(frame)?;
            longest = longest.max(length);
            unpacked = unpacked.saturating_add(length);
            if unpacked > MAX_UNPACKED {
                return Err(Damage::COMPRESSION);
            }
            rest = following;
        }
        Ok(Self {
            rest: section,
            decompressor: Decompressor::new().map_err(|_| Damage::COMPRESSION)?,
            content: Vec::with_capacity(longest as usize),
            unpacked,
        })
    }

    /// How many bytes the frames that are left hold.
    pub(crate) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// What the next frame holds; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Damage> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (frame, following) = split(self.rest)?;
        let length = content_length(frame)?;
        self.content.clear();
        let unpacked = self.decompressor.decompress_to_buffer(frame, &mut self.content);
        if unpacked.ok().map(|length| length as u64) != Some(length) {
            return Err(Damage::COMPRESSION);
        }
        self.rest = following;
        self.unpacked -= length;
        Ok(Some(&self.content))
    }

    /// The content of a section of one frame.
    pub(crate) fn only(section: &'a [u8]) -> Result<Vec<u8>, Damage> {
        let mut frames = Self::new(section)?;
        frames.next()?.ok_or(Damage::CUT_SHORT)?;
        frames
            .rest
            .is_empty()
            .then_some(frames.content)
            .ok_or(Damage::SENSELESS)
    }
}

/// The next frame, and those after it.
fn split(frames: &[u8]) -> Result<(&[u8], &[u8]), Damage> {
    let length = zstd_safe::find_frame_compressed_size(frames).map_err(|_| Damage::COMPRESSION)?;
    frames.split_at_checked(length).ok_or(Damage::CUT_SHORT)
}

fn content_length(frame: &[u8]) -> Result<u64, Damage> {
    let length = zstd_safe::get_frame_content_size(frame).ok().flatten();
    length.ok_or(Damage::COMPRESSION)
}
