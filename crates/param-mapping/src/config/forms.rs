//! Fields that are said in more than one way.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::Address;

/// One, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Many<T>(Vec<T>);

/// Addresses, or something else.
#[derive(Clone, Debug, PartialEq)]
pub enum AddressesOr<T> {
    /// One address, or a list of them.
    Addresses(Many<Address>),
    /// Something else.
    Other(T),
}

struct ManyVisitor<T>(PhantomData<T>);

struct AddressesVisitor;

// === impl Many ===

impl<T> Many<T> {
    /// One.
    #[must_use]
    pub fn one(one: T) -> Self {
        Self(vec![one])
    }

    /// Returns them as a list.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T> From<Vec<T>> for Many<T> {
    fn from(list: Vec<T>) -> Self {
        Self(list)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for Many<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] => one.serialize(serializer),
            list => list.serialize(serializer),
        }
    }
}

// === impl ManyVisitor ===

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one, or a list")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Many<T>, E> {
        T::deserialize(text.into_deserializer()).map(Many::one)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Many::one)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Many<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Many)
    }
}

// === impl AddressesOr ===

impl<'de> Deserialize<'de> for AddressesOr<bool> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressesVisitor)
    }
}

impl<T: Serialize> Serialize for AddressesOr<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Addresses(addresses) => addresses.serialize(serializer),
            Self::Other(other) => other.serialize(serializer),
        }
    }
}

// === impl AddressesVisitor ===

impl<'de> Visitor<'de> for AddressesVisitor {
    type Value = AddressesOr<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or an address")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(AddressesOr::Other(flag))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let address = Address::deserialize(text.into_deserializer())?;
        Ok(AddressesOr::Addresses(Many::one(address)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let list = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
        Ok(AddressesOr::Addresses(Many(list)))
    }
}
