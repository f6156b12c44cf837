//! The content of a body: files, and the beginning that is told as it is.

use super::Event;
use super::form::{Form, Found};
use crate::message::{Headers, parameter};
use crate::{Fact, FileEvent, FileNumber, FileVia, Observer, Place, Side};

/// The first bytes of a request's body that are told as they are, so that rules can look at them. Commands that are
/// hidden in forms and SOAP stand in the first few hundred bytes.
pub const BODY_TOLD_BYTES_MAX: u64 = 4096;

/// The bytes of a file's name that are kept; names on file systems have at most 255.
const NAME_BYTES_MAX: usize = 255;

/// Counts the files of a flow.
#[derive(Debug, Default)]
pub(super) struct Files {
    next: u32,
}

impl Files {
    fn take(&mut self) -> FileNumber {
        let file = FileNumber(self.next);
        self.next = self.next.wrapping_add(1);
        file
    }
}

/// The content of the message that a side is sending.
#[derive(Debug)]
pub(super) struct Content {
    side: Side,
    shape: Shape,
    /// How much of it came, lost bytes included.
    bytes: u64,
    file: Option<Open>,
    /// Kept for the next message.
    name: Vec<u8>,
    head: Place,
    bytes_expected: Option<u64>,
}

#[derive(Debug)]
enum Shape {
    /// One file.
    File,
    /// Several files and other fields.
    Form(Box<Form>),
}

/// A file that began.
#[derive(Debug)]
struct Open {
    number: FileNumber,
    bytes: u64,
    has_hole: bool,
}

impl Content {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            shape: Shape::File,
            bytes: 0,
            file: None,
            name: Vec::new(),
            head: Place { side, offset: 0, bytes: 0 },
            bytes_expected: None,
        }
    }

    /// A message begins whose body is a file of that name, should there be one.
    pub(super) fn begin_file(&mut self, name: &[u8], head: Place) {
        self.shape = Shape::File;
        self.bytes = 0;
        self.name.clear();
        self.name.extend_from_slice(&name[..name.len().min(NAME_BYTES_MAX)]);
        self.head = head;
        self.bytes_expected = None;
    }

    /// Learns how long the content of the message will be, where that was said.
    pub(super) fn expect(&mut self, bytes_expected: Option<u64>) {
        self.bytes_expected = bytes_expected;
    }

    /// A message begins whose body is a form. Gives back whether its boundary can be looked for.
    pub(super) fn begin_form(&mut self, boundary: &[u8]) -> bool {
        let Some(form) = Form::new(boundary) else { return false };
        self.bytes = 0;
        self.shape = Shape::Form(Box::new(form));
        true
    }

    /// How much of the content came, lost bytes included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece of the content, which is at `offset` of the flow.
    pub(super) fn piece(&mut self, piece: &[u8], offset: u64, files: &mut Files, observer: &mut dyn Observer) {
        self.tell_beginning(piece, offset, observer);
        let side = self.side;
        match &mut self.shape {
            Shape::File => {
                let open = self.file.get_or_insert_with(|| {
                    let via = match side {
                        Side::Client => FileVia::HttpRequest,
                        Side::Server => FileVia::HttpResponse,
                    };
                    let bytes_expected = self.bytes_expected;
                    Open::begin(&self.name, via, bytes_expected, self.head, files, observer)
                });
                // What came before the first piece was lost.
                if open.bytes < self.bytes {
                    open.skip(self.bytes - open.bytes);
                }
                open.part(piece, Place { side, offset, bytes: piece.len() as u64 }, observer);
            }
            Shape::Form(form) => {
                let file = &mut self.file;
                form.piece(piece, offset, &mut |found| tell(found, side, file, files, observer));
            }
        }
        self.bytes += piece.len() as u64;
    }

    /// Bytes that do not belong to any message, but follow one: tells them as its body as far as the bound allows.
    pub(super) fn stray(&mut self, bytes: &[u8], offset: u64, observer: &mut dyn Observer) {
        self.tell_beginning(bytes, offset, observer);
        self.bytes += bytes.len() as u64;
    }

    fn tell_beginning(&self, bytes: &[u8], offset: u64, observer: &mut dyn Observer) {
        let left = BODY_TOLD_BYTES_MAX.saturating_sub(self.bytes);
        let told = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if self.side == Side::Client && told > 0 {
            let place = Place { side: self.side, offset, bytes: told as u64 };
            observer.fact(place, Fact::Http(Event::RequestBody { offset: self.bytes, bytes: &bytes[..told] }));
        }
    }

    /// `bytes` bytes of the content are lost; the flow goes on at `offset`.
    pub(super) fn skip(&mut self, bytes: u64, offset: u64, observer: &mut dyn Observer) {
        match &mut self.shape {
            Shape::File => {
                if let Some(open) = &mut self.file {
                    open.skip(bytes);
                }
            }
            Shape::Form(form) => {
                form.skip();
                if let Some(open) = self.file.take() {
                    open.end(false, Place { side: self.side, offset, bytes: 0 }, observer);
                }
            }
        }
        self.bytes += bytes;
    }

    /// The content ends before `offset`.
    pub(super) fn end(&mut self, is_complete: bool, offset: u64, files: &mut Files, observer: &mut dyn Observer) {
        let (side, file) = (self.side, &mut self.file);
        let is_whole = match &mut self.shape {
            Shape::File => is_complete,
            // A part that no boundary ended.
            Shape::Form(form) => {
                form.end(&mut |found| tell(found, side, file, files, observer));
                false
            }
        };
        if let Some(open) = self.file.take() {
            open.end(is_whole, Place { side, offset, bytes: 0 }, observer);
        }
        self.shape = Shape::File;
    }
}

/// Tells of something in a form.
fn tell(found: Found<'_>, side: Side, file: &mut Option<Open>, files: &mut Files, observer: &mut dyn Observer) {
    match found {
        Found::Part { header, offset, end } => {
            let disposition = Headers::new(header).get("content-disposition").unwrap_or_default();
            if let Some(name) = parameter(disposition, "filename") {
                let place = Place { side, offset, bytes: end - offset };
                let name = &name[..name.len().min(NAME_BYTES_MAX)];
                *file = Some(Open::begin(name, FileVia::HttpForm, None, place, files, observer));
            }
        }
        Found::Content { bytes, offset } => {
            if let Some(open) = file {
                open.part(bytes, Place { side, offset, bytes: bytes.len() as u64 }, observer);
            }
        }
        Found::PartEnd { offset } => {
            if let Some(open) = file.take() {
                open.end(true, Place { side, offset, bytes: 0 }, observer);
            }
        }
    }
}

impl Open {
    fn begin(
        name: &[u8],
        via: FileVia,
        bytes_expected: Option<u64>,
        place: Place,
        files: &mut Files,
        observer: &mut dyn Observer,
    ) -> Self {
        let number = files.take();
        observer.fact(place, Fact::File(FileEvent::Begin { file: number, name, via, bytes_expected }));
        Self { number, bytes: 0, has_hole: false }
    }

    fn part(&mut self, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        observer.fact(place, Fact::File(FileEvent::Part { file: self.number, offset: self.bytes, bytes }));
        self.bytes += bytes.len() as u64;
    }

    fn skip(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.has_hole |= bytes > 0;
    }

    fn end(self, is_complete: bool, place: Place, observer: &mut dyn Observer) {
        let is_complete = is_complete && !self.has_hole;
        observer.fact(place, Fact::File(FileEvent::End { file: self.number, is_complete }));
    }
}
