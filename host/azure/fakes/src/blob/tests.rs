/// Makes two tests of each function: against the fake, and against the emulator.
macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        mod fake {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::blob::tests::client::Subject::fake().await).await;
            })+
        }

        mod azurite {
            $(#[tokio::test]
            async fn $name() {
                match crate::blob::tests::client::Subject::emulator() {
                    Some(subject) => super::$name(subject).await,
                    None => eprintln!("not run: PORTOLAN_AZURITE names no emulator"),
                }
            })+
        }
    };
}

mod client;
mod faults;
mod leases;
mod suite;
