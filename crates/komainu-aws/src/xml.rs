//! Writes shapes as the XML of query services: lists as `<member>`, maps as `<entry><key/><value/></entry>`.

use std::fmt::{self, Display};

use serde::ser::{self, Impossible, Serialize, Serializer};

/// The members of a structure as elements.
pub(crate) fn members<T: Serialize>(structure: &T) -> Result<String, NotXml> {
    let mut out = String::new();
    structure.serialize(Writer { out: &mut out })?;
    Ok(out)
}

/// Appends `text` with what XML reserves escaped. Characters that XML 1.0 cannot carry become U+FFFD.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // A reader would turn a bare carriage return into a line feed (XML 1.0, 2.11).
            '\r' => out.push_str("&#xD;"),
            '\n' | '\t' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}

/// A value that has no form in this XML. The service models have none.
#[derive(Debug)]
pub(crate) struct NotXml(String);

impl Display for NotXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotXml {}

impl ser::Error for NotXml {
    fn custom<T: Display>(reason: T) -> Self {
        Self(reason.to_string())
    }
}

struct Writer<'a> {
    out: &'a mut String,
}

impl Writer<'_> {
    fn text(self, text: &str) -> Result<(), NotXml> {
        escape(text, self.out);
        Ok(())
    }

    fn element<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), NotXml> {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
        value.serialize(Writer { out: self.out })?;
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        Ok(())
    }
}

fn unsupported<T>(what: &str) -> Result<T, NotXml> {
    Err(NotXml(format!("{what} cannot be written")))
}

macro_rules! as_text {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<(), NotXml> {
            self.text(&value.to_string())
        }
    )*};
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = NotXml;
    type SerializeSeq = Self;
    type SerializeTuple = Impossible<(), NotXml>;
    type SerializeTupleStruct = Impossible<(), NotXml>;
    type SerializeTupleVariant = Impossible<(), NotXml>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), NotXml>;

    as_text! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), NotXml> {
        unsupported("bytes")
    }

    fn serialize_none(self) -> Result<(), NotXml> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotXml> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NotXml> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NotXml> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), NotXml> {
        unsupported("an enum")
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), NotXml> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NotXml> {
        unsupported("an enum")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, NotXml> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotXml> {
        unsupported("a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, NotXml> {
        unsupported("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NotXml> {
        unsupported("an enum")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, NotXml> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotXml> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NotXml> {
        unsupported("an enum")
    }
}

impl ser::SerializeSeq for Writer<'_> {
    type Ok = ();
    type Error = NotXml;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotXml> {
        self.element("member", value)
    }

    fn end(self) -> Result<(), NotXml> {
        Ok(())
    }
}

impl ser::SerializeMap for Writer<'_> {
    type Ok = ();
    type Error = NotXml;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotXml> {
        self.out.push_str("<entry>");
        self.element("key", key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotXml> {
        self.element("value", value)?;
        self.out.push_str("</entry>");
        Ok(())
    }

    fn end(self) -> Result<(), NotXml> {
        Ok(())
    }
}

impl ser::SerializeStruct for Writer<'_> {
    type Ok = ();
    type Error = NotXml;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), NotXml> {
        self.element(name, value)
    }

    fn end(self) -> Result<(), NotXml> {
        Ok(())
    }
}
