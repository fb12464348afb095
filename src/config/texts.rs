//! Texts and numbers with rules of their own: how the schema describes them, so that
//! editors and `shape.rs` know them too.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::raw::{At, DRIVERS};

macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident: $schema:tt)*) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    /// A size with its unit.
    SizeText: {
        "type": "string",
        "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGgTt]([Ii]?[Bb])?)\s*$",
        "examples": ["1 GiB", "512 MiB"],
        "x-fleet": "size"
    }
    /// A time with its unit.
    TtlText: {
        "type": "string",
        "examples": ["8h", "90 min", "2 days"]
    }
    /// A network with the length of its prefix.
    CidrText: {
        "type": "string",
        "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$",
        "examples": ["10.77.0.0/24"]
    }
    /// An IPv4 address.
    AddressText: {
        "type": "string",
        "format": "ipv4",
        "examples": ["10.77.0.20"]
    }
    /// A forwarded port.
    PortText: {
        "type": "string",
        "pattern": r"^((.+:)?[0-9]{1,5}:)?[0-9]{1,5}(/(tcp|udp))?$",
        "examples": ["8080:80", "127.0.0.1:8080:80/tcp", "53:53/udp"]
    }
    /// How the engine is installed.
    InstallText: {
        "type": "string",
        "anyOf": [
            { "enum": ["auto", "distro", "get-docker", "none"] },
            { "pattern": "/" }
        ],
        "examples": ["auto", "distro", "get-docker", "none", "./engine.sh"]
    }
    /// A version, in full or its first parts.
    VersionText: {
        "type": "string",
        "pattern": r"^[0-9][0-9A-Za-z.+~:-]*$",
        "examples": ["28", "28.2.2"]
    }
    /// A driver's name.
    DriverName: {
        "type": "string",
        "enum": DRIVERS
    }
    /// A number of virtual processors.
    Cpus: { "type": "integer", "minimum": 1, "maximum": 256 }
    /// A number of machines.
    Count: { "type": "integer", "minimum": 1, "maximum": 250 }
    /// The prefix of an overlay network.
    SubnetSize: { "type": "integer", "minimum": 8, "maximum": 29 }
    /// A number of tasks.
    TaskHistory: { "type": "integer", "minimum": 0, "maximum": 1000 }
    /// Options that only a driver understands.
    Options: { "type": "object" }
}

/// Where a base image comes from, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// A name or a path.
    Text(String),
    /// A download.
    Download(Download),
}

/// A download with its digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Download {
    /// From where, such as `https://images.example/disk.qcow2`.
    pub(crate) url: Option<At<String>>,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub(crate) sha256: Option<At<String>>,
    /// SHA-512 of the file, 128 hexadecimal digits.
    pub(crate) sha512: Option<At<String>>,
}

impl JsonSchema for Image {
    fn schema_name() -> Cow<'static, str> {
        "Image".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = Download::json_schema(generator);
        json_schema!({
            "anyOf": [{ "type": "string" }, table],
            "examples": ["debian-12", "./images/disk.qcow2"]
        })
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;

        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Image;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, a path or a table with `url` and `sha256`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Image, E> {
                Ok(Image::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
                Download::deserialize(MapAccessDeserializer::new(map)).map(Image::Download)
            }
        }

        deserializer.deserialize_any(TextOrTable)
    }
}
