//! How a section of the file is declared: once, for reading it and for its JSON Schema.

/// Declares a section: a mapping with known keys. Every field is an `Option`: `None` for a key that is not there or
/// could not be read. `at` is the section itself.
macro_rules! section {
    ($(#[doc = $about:literal])* $name:ident {
        $($(#[doc = $doc:literal])* $need:ident $key:ident: $shape:ty,)*
    }) => {
        $(#[doc = $about])*
        #[derive(Debug)]
        #[allow(dead_code, reason = "not every section has mistakes of its own, and some keys are only rejected")]
        pub(in crate::config) struct $name {
            /// Where it is.
            pub(in crate::config) at: $crate::config::document::NodeId,
            $($(#[doc = $doc])* pub(in crate::config) $key: Option<$shape>,)*
        }

        impl $crate::config::shape::Shape for $name {
            fn read(
                node: $crate::config::document::Node<'_>,
                mistakes: &mut $crate::config::error::Mistakes<'_>,
            ) -> Option<Self> {
                let keys = [$(stringify!($key)),*];
                let mut fields = $crate::config::shape::Fields::of(node, &keys, mistakes)?;
                Some(Self { at: node.id(), $($key: fields.$need(stringify!($key), mistakes),)* })
            }

            fn schema() -> serde_json::Value {
                use $crate::config::schema::Section;
                Section::new(concat!($($about, "\n"),*))
                    $(.$need::<$shape>(stringify!($key), concat!($($doc, "\n"),*)))*
                    .done()
            }
        }
    };
}
pub(super) use section;
