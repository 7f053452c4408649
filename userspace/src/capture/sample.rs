//! Capture files made for tests, byte by byte.

fn put(out: &mut Vec<u8>, big: bool, value: u32) {
    out.extend_from_slice(&if big { value.to_be_bytes() } else { value.to_le_bytes() });
}

fn put16(out: &mut Vec<u8>, big: bool, value: u16) {
    out.extend_from_slice(&if big { value.to_be_bytes() } else { value.to_le_bytes() });
}

/// A pcap file of packets `(seconds, fraction, bytes, original length)`.
pub fn pcap(big: bool, nano: bool, link_type: u32, packets: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, big, if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
    put16(&mut out, big, 2);
    put16(&mut out, big, 4);
    for word in [0, 0, 65535, link_type] {
        put(&mut out, big, word);
    }
    for (seconds, fraction, bytes, original) in packets {
        for word in [*seconds, *fraction, bytes.len() as u32, *original] {
            put(&mut out, big, word);
        }
        out.extend_from_slice(bytes);
    }
    out
}

/// A pcapng section under construction.
pub struct Section {
    pub bytes: Vec<u8>,
    big: bool,
}

impl Section {
    pub fn new(big: bool) -> Self {
        let mut section = Self { bytes: Vec::new(), big };
        let mut body = Vec::new();
        put(&mut body, big, 0x1a2b_3c4d);
        put16(&mut body, big, 1);
        put16(&mut body, big, 0);
        body.extend_from_slice(&[0xff; 8]);
        section.block(0x0a0d_0d0a, &body);
        section
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let length = padded as u32 + 12;
        put(&mut self.bytes, self.big, kind);
        put(&mut self.bytes, self.big, length);
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        put(&mut self.bytes, self.big, length);
    }

    pub fn interface(&mut self, link_type: u16, snaplen: u32, resolution: Option<u8>) {
        let mut body = Vec::new();
        put16(&mut body, self.big, link_type);
        put16(&mut body, self.big, 0);
        put(&mut body, self.big, snaplen);
        if let Some(resolution) = resolution {
            put16(&mut body, self.big, 9);
            put16(&mut body, self.big, 1);
            body.extend_from_slice(&[resolution, 0, 0, 0]);
            body.extend_from_slice(&[0; 4]);
        }
        self.block(1, &body);
    }

    fn packet(&self, head: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for word in head {
            put(&mut body, self.big, *word);
        }
        body.extend_from_slice(bytes);
        body
    }

    pub fn enhanced(&mut self, interface: u32, units: u64, bytes: &[u8], original: u32) {
        let head = [interface, (units >> 32) as u32, units as u32, bytes.len() as u32, original];
        self.block(6, &self.packet(&head, bytes));
    }

    pub fn simple(&mut self, bytes: &[u8], original: u32) {
        self.block(3, &self.packet(&[original], bytes));
    }

    pub fn obsolete(&mut self, interface: u16, units: u64, bytes: &[u8], original: u32) {
        let mut body = Vec::new();
        put16(&mut body, self.big, interface);
        put16(&mut body, self.big, 0);
        let head = [(units >> 32) as u32, units as u32, bytes.len() as u32, original];
        body.extend_from_slice(&self.packet(&head, bytes));
        self.block(2, &body);
    }

    /// A block that no standard names.
    pub fn other(&mut self) {
        self.block(0x4242, &[1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
