//! Writes zip files byte by byte, so that they can say what no library would let them say.

pub struct Raw {
    body: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

/// One entry as the attacker wants it.
pub struct Lie<'a> {
    pub name: &'a [u8],
    pub data: &'a [u8],
    /// Unpacked size to declare, when it is not the truth.
    pub declared: Option<u32>,
    /// Unix mode, with the type of file.
    pub mode: u32,
    pub flags: u16,
    pub method: u16,
}

impl<'a> Lie<'a> {
    pub fn file(name: &'a str, data: &'a [u8]) -> Self {
        Self { name: name.as_bytes(), data, declared: None, mode: 0o100_644, flags: 0x0800, method: 0 }
    }

    pub fn link(name: &'a str, target: &'a str) -> Self {
        Self { mode: 0o120_777, ..Self::file(name, target.as_bytes()) }
    }
}

impl Raw {
    pub fn new() -> Self {
        Self { body: Vec::new(), directory: Vec::new(), entries: 0 }
    }

    pub fn with(mut self, lie: &Lie<'_>) -> Self {
        let offset = u32::try_from(self.body.len()).unwrap();
        let packed = u32::try_from(lie.data.len()).unwrap();
        let mut common = Vec::new();
        common.extend(20u16.to_le_bytes());
        common.extend(lie.flags.to_le_bytes());
        common.extend(lie.method.to_le_bytes());
        common.extend([0, 0, 0x21, 0]);
        common.extend(crc32fast::hash(lie.data).to_le_bytes());
        common.extend(packed.to_le_bytes());
        common.extend(lie.declared.unwrap_or(packed).to_le_bytes());
        common.extend(u16::try_from(lie.name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);

        self.body.extend(b"PK\x03\x04");
        self.body.extend(&common);
        self.body.extend(lie.name);
        self.body.extend(lie.data);

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend([20, 3]);
        self.directory.extend(&common);
        self.directory.extend([0; 6]);
        self.directory.extend((lie.mode << 16).to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(lie.name);
        self.entries += 1;
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.promising(None)
    }

    /// With another number of entries in the end record.
    pub fn promising(self, entries: Option<u16>) -> Vec<u8> {
        let entries = entries.unwrap_or(self.entries);
        let (start, length) = (u32::try_from(self.body.len()).unwrap(), u32::try_from(self.directory.len()).unwrap());
        let mut zip = self.body;
        zip.extend(self.directory);
        zip.extend(b"PK\x05\x06\0\0\0\0");
        zip.extend(entries.to_le_bytes());
        zip.extend(entries.to_le_bytes());
        zip.extend(length.to_le_bytes());
        zip.extend(start.to_le_bytes());
        zip.extend([0, 0]);
        zip
    }
}
