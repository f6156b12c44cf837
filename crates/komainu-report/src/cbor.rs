//! CBOR (RFC 8949) in serde's data model, over minicbor's decoder. Nothing is copied, nesting is bounded, and lengths
//! that a document claims are never believed ahead of the bytes.

use std::fmt;

use minicbor::data::Type;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Reads one CBOR item.
pub(crate) struct CborReader<'de> {
    decoder: minicbor::Decoder<'de>,
    nesting_left: usize,
}

/// Why an item could not be read.
#[derive(Debug)]
pub(crate) struct CborError(String);

impl<'de> CborReader<'de> {
    /// A reader of `bytes` that follows lists and objects to a depth of `nesting_max`.
    pub(crate) fn new(bytes: &'de [u8], nesting_max: usize) -> Self {
        Self { decoder: minicbor::Decoder::new(bytes), nesting_left: nesting_max }
    }

    /// Checks that nothing follows the item.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.decoder.position() == self.decoder.input().len() {
            Ok(())
        } else {
            Err(CborError(format!("something follows the report at byte {}", self.decoder.position())))
        }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, CborError>) -> Result<T, CborError> {
        let Some(left) = self.nesting_left.checked_sub(1) else {
            return Err(CborError(format!("nested too deeply at byte {}", self.decoder.position())));
        };
        self.nesting_left = left;
        let result = inner(self);
        self.nesting_left += 1;
        result
    }

    /// Whether a list or object has another item; `left` counts down when its length is known.
    fn another(&mut self, left: &mut Option<u64>) -> Result<bool, CborError> {
        match left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if self.decoder.datatype()? == Type::Break => {
                self.decoder.skip()?;
                *left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl<'de> Deserializer<'de> for &mut CborReader<'de> {
    type Error = CborError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        match self.decoder.datatype()? {
            Type::Bool => visitor.visit_bool(self.decoder.bool()?),
            Type::Null => {
                self.decoder.null()?;
                visitor.visit_unit()
            }
            Type::Undefined => {
                self.decoder.undefined()?;
                visitor.visit_unit()
            }
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.decoder.u64()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.decoder.i64()?),
            // A negative number beyond 64 bits: no metric has such a value, its size is enough.
            Type::Int => visitor.visit_f64(i128::from(self.decoder.int()?) as f64),
            Type::F16 => {
                let number = self.decoder.input().get(self.decoder.position() + 1..).and_then(<[u8]>::first_chunk);
                let number = number.map(|bits| half_to_double(u16::from_be_bytes(*bits)));
                self.decoder.skip()?;
                visitor.visit_f64(number.unwrap_or(f64::NAN))
            }
            Type::F32 => visitor.visit_f64(f64::from(self.decoder.f32()?)),
            Type::F64 => visitor.visit_f64(self.decoder.f64()?),
            Type::String => visitor.visit_borrowed_str(self.decoder.str()?),
            Type::StringIndef => {
                let mut text = String::new();
                for chunk in self.decoder.str_iter()? {
                    text.push_str(chunk?);
                }
                visitor.visit_str(&text)
            }
            Type::Bytes | Type::BytesIndef => {
                self.decoder.skip()?;
                visitor.visit_bytes(&[])
            }
            Type::Array | Type::ArrayIndef => {
                let left = self.decoder.array()?;
                self.nested(|reader| {
                    let mut items = Items { reader, left };
                    let value = visitor.visit_seq(&mut items)?;
                    items.finish()?;
                    Ok(value)
                })
            }
            Type::Map | Type::MapIndef => {
                let left = self.decoder.map()?;
                self.nested(|reader| {
                    let mut items = Items { reader, left };
                    let value = visitor.visit_map(&mut items)?;
                    items.finish()?;
                    Ok(value)
                })
            }
            // A tag says how to understand an item; reports need none, so the item itself is what counts.
            Type::Tag => {
                self.decoder.tag()?;
                self.nested(|reader| (&mut *reader).deserialize_any(visitor))
            }
            Type::Simple => {
                self.decoder.skip()?;
                visitor.visit_unit()
            }
            Type::Break | Type::Unknown(_) => Err(CborError(format!("unexpected byte at {}", self.decoder.position()))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        // Not the decoder's own skip: it takes stray breaks for items and knows no bound on nesting.
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// The items of a list or object. `left` is `None` while its length is not known.
struct Items<'a, 'de> {
    reader: &'a mut CborReader<'de>,
    left: Option<u64>,
}

impl Items<'_, '_> {
    /// Checks that the visitor took every item: what it left would be read as what follows.
    fn finish(&self) -> Result<(), CborError> {
        if self.left == Some(0) {
            Ok(())
        } else {
            Err(CborError(format!("too many items before byte {}", self.reader.decoder.position())))
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = CborError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, CborError> {
        if !self.reader.another(&mut self.left)? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = CborError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CborError> {
        if !self.reader.another(&mut self.left)? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CborError> {
        seed.deserialize(&mut *self.reader)
    }
}

/// A half-precision number (RFC 8949, appendix D).
fn half_to_double(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

impl From<minicbor::decode::Error> for CborError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CborError {}

impl serde::de::Error for CborError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
