//! How a document of either encoding is walked: serde's data model, with visitors that never fail on a value of an
//! unexpected kind but say what it was.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What an object's fields do with their values.
pub(crate) trait Fields {
    /// Takes the value of `key` from `map`; it must take exactly one value.
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// What a list does with its elements.
pub(crate) trait Elements {
    /// Takes the element at `index` from `seq` when there is one, and says whether there was.
    fn element<'de, A: SeqAccess<'de>>(&mut self, index: usize, seq: &mut A) -> Result<bool, A::Error>;
}

/// Walks an object. Gives the kind of the value that stood there; what is not an object is passed over.
pub(crate) struct Object<'a, F>(pub(crate) &'a mut F);

/// Walks a list. Gives the kind of the value that stood there; what is not a list is passed over.
pub(crate) struct List<'a, E>(pub(crate) &'a mut E);

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Bytes,
    List,
    Object,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Bytes => "a byte string",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// A value that is expected to be a number or a text; of others only the kind is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Leaf<'de> {
    Unsigned(u64),
    /// Always below zero.
    Negative(i64),
    Float(f64),
    Text(Cow<'de, str>),
    Other(Kind),
}

impl Leaf<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Unsigned(_) | Self::Negative(_) | Self::Float(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Other(kind) => *kind,
        }
    }

    /// The value as a whole number that is not negative; agents that count in doubles write `12.0`.
    pub(crate) fn as_count(&self) -> Option<u64> {
        /// 2^53: above it a double no longer tells neighbouring whole numbers apart.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Unsigned(count) => Some(*count),
            Self::Float(number) if (0.0..=EXACT_MAX).contains(number) && number.fract() == 0.0 => Some(*number as u64),
            Self::Negative(_) | Self::Float(_) | Self::Text(_) | Self::Other(_) => None,
        }
    }

    /// The value as a finite number.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(count) => Some(*count as f64),
            Self::Negative(number) => Some(*number as f64),
            Self::Float(number) => number.is_finite().then_some(*number),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

impl<'de, F: Fields> DeserializeSeed<'de> for Object<'_, F> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: Elements> DeserializeSeed<'de> for List<'_, E> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visitor methods for everything that is neither list nor object, giving the kind.
macro_rules! scalars_by_kind {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }
        fn visit_unit<E>(self) -> Result<Kind, E> {
            Ok(Kind::Null)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
            Ok(Kind::Bool)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Kind, E> {
            Ok(Kind::Number)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Kind, E> {
            Ok(Kind::Number)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
            Ok(Kind::Number)
        }
        fn visit_str<E>(self, _: &str) -> Result<Kind, E> {
            Ok(Kind::Text)
        }
        fn visit_bytes<E>(self, _: &[u8]) -> Result<Kind, E> {
            Ok(Kind::Bytes)
        }
    };
}

impl<'de, F: Fields> Visitor<'de> for Object<'_, F> {
    type Value = Kind;

    scalars_by_kind!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Kind::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            self.0.field(&key, &mut map)?;
        }
        Ok(Kind::Object)
    }
}

impl<'de, T: Elements> Visitor<'de> for List<'_, T> {
    type Value = Kind;

    scalars_by_kind!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut index = 0;
        while self.0.element(index, &mut seq)? {
            index += 1;
        }
        Ok(Kind::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Kind::Object)
    }
}

impl<'de> serde::Deserialize<'de> for Leaf<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor)
    }
}

struct LeafVisitor;

impl<'de> Visitor<'de> for LeafVisitor {
    type Value = Leaf<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Other(Kind::Null))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Other(Kind::Bool))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Leaf<'de>, E> {
        Ok(u64::try_from(value).map_or(Leaf::Negative(value), Leaf::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Other(Kind::Bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Leaf<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Leaf::Other(Kind::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaf<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Leaf::Other(Kind::Object))
    }
}

/// An object's key. CBOR allows keys that are no texts; they become the empty name, which is nobody's.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(LeafVisitor)? {
            Leaf::Text(text) => Self(text),
            Leaf::Unsigned(_) | Leaf::Negative(_) | Leaf::Float(_) | Leaf::Other(_) => Self(Cow::Borrowed("")),
        })
    }
}
