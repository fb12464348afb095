//! The whole contract through the protocol, on a program that serves the fake driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fleet_driver::conformance::Fixture;
use fleet_driver::event::{EventKind, Reporter};
use fleet_driver::fake::Fake;
use fleet_driver::program::Program;
use fleet_driver::{
    Driver, Error, ErrorKind, Forward, ImageFile, LabNic, MachineId, Power, Protocol, Secret,
    Settings, VmSpec,
};

use crate::stand::{Stand, host1};

fn image(digit: &str) -> ImageFile {
    ImageFile { path: format!("/images/{digit}").into(), sha256: digit.repeat(64), size_mib: 1 }
}

fn spec(n: u8) -> VmSpec {
    VmSpec {
        cpus: 1,
        memory_mib: 256,
        disk_mib: 2048,
        image: image("a"),
        lab: LabNic { address: [10, 77, 0, n].into(), prefix: 24 },
        internet: true,
        forwards: vec![Forward {
            host: "127.0.0.1:0".parse().unwrap(),
            guest: 53,
            protocol: Protocol::Udp,
        }],
        seed: vec![("meta-data".to_owned(), Secret::new(b"{\"a\": \"\xc3\xa4\"}".to_vec()))],
        mark: [("home".to_owned(), "/here".to_owned())].into(),
        apart: Some("rack".to_owned()),
        options: toml::toml! { speed = "slow" },
    }
}

/// The fake driver behind the protocol; every few verbs come from a new process.
struct Served {
    stand: Stand,
    program: Arc<Program>,
    asked: AtomicUsize,
}

impl Served {
    async fn new() -> Self {
        let stand = Stand::new();
        let cx = stand.cx();
        let program = Program::start(&stand.fake(), "fake", &stand.settings(), &cx).await;
        Self { program: Arc::new(program.unwrap()), stand, asked: AtomicUsize::new(0) }
    }
}

impl Fixture for Served {
    fn driver(&self) -> Arc<dyn Driver> {
        match self.asked.fetch_add(1, Ordering::Relaxed) % 8 {
            7 => Arc::new(self.program.again()),
            _ => self.program.clone(),
        }
    }

    fn spec(&self, n: u8) -> VmSpec {
        spec(n)
    }

    fn other_image(&self) -> ImageFile {
        image("b")
    }

    fn bad_option(&self) -> (String, toml::Value) {
        ("speed".to_owned(), "medium".into())
    }

    fn deaf(&self, id: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        Fake::on(&self.stand.path("world")).deaf(id.machine());
        Some(spec)
    }
}

fleet_driver::conformance!(Served::new().await);

#[tokio::test]
async fn a_spec_arrives_as_it_was_sent() {
    let served = Served::new().await;
    let mut sent = spec(1);
    sent.options = toml::toml! { speed = "fast" };
    served.program.create(&host1(), &sent, &served.stand.cx()).await.unwrap();
    let got = &Fake::on(&served.stand.path("world")).standing()[0].spec;
    let parts = |spec: &VmSpec| {
        (
            (spec.cpus, spec.memory_mib, spec.disk_mib, spec.internet, spec.apart.clone()),
            (spec.image.clone(), spec.lab.clone(), spec.forwards.clone(), spec.mark.clone()),
            (spec.seed.clone(), spec.options.clone(), spec.options_digest()),
        )
    };
    assert!(parts(got) == parts(&sent));
    let seen = served.program.inspect(&host1(), &served.stand.cx()).await.unwrap().unwrap();
    assert_eq!(seen.power, Power::Stopped);
    assert_eq!(seen.options_digest, sent.options_digest());
}

#[tokio::test]
async fn an_error_arrives_whole() {
    let served = Served::new().await;
    let mut bad = spec(1);
    bad.options = toml::toml! { size = 1 };
    let cx = served.stand.cx();
    let through = served.program.create(&host1(), &bad, &cx).await.unwrap_err();
    let direct = Fake::new().create(&host1(), &bad, &cx).await.unwrap_err();
    let parts = |error: &Error| {
        let hint = error.hint_text().map(str::to_owned);
        (error.kind(), error.message().to_owned(), error.context().to_vec(), hint, error.causes())
    };
    assert_eq!(parts(&through), parts(&direct));
}

#[tokio::test]
async fn a_refusal_is_that_of_the_driver() {
    let stand = Stand::new();
    let refused = Program::start(&stand.fake(), "fake", &Settings::default(), &stand.cx())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert_eq!(refused.to_string(), "no `world` is given");
    assert_eq!(refused.hint_text(), Some("give one"));
}

#[tokio::test]
async fn events_belong_to_their_call() {
    let stand = Stand::new();
    let text = format!(
        "{}{}",
        crate::stand::READY,
        r#"while read -r line; do
    id=$(id "$line")
    echo '{"type":"event","id":999,"event":{"type":"note","level":"info","text":"nobody asked"}}'
    echo '{"type":"event","id":'$id',"event":{"type":"song","text":"la"}}'
    echo '{"type":"event","id":'$id',"event":{"type":"note","level":"warning","text":"It is late."}}'
    echo '{"type":"event","id":'$id',"event":{"type":"advanced","step":"create","done":1,"total":2,"unit":"bytes"}}'
    echo '{"type":"later","id":'$id'}'
    echo '{"type":"answer","id":999}'
    echo '{"type":"answer","id":'$id',"value":{"ignored":true},"new":1}'
done"#
    );
    let program = stand.start(&text).await.unwrap();
    let (reporter, mut events) = Reporter::channel();
    let cx = stand.cx_with(reporter.about("host1"));
    program.start(&host1(), &cx).await.unwrap();
    drop((reporter, cx));
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.machine.as_deref(), Some("host1"));
        seen.push(event.kind);
    }
    assert!(
        matches!(
            seen.as_slice(),
            [EventKind::Note { text, .. }, EventKind::StepAdvanced { done: 1, total: Some(2), .. }]
                if text == "It is late."
        ),
        "{seen:?}"
    );
    assert_eq!((program.version(), program.about().concurrency), ("7", 2));
    assert!(program.suspending().is_none() && program.snapshotting().is_none());
    assert_eq!(program.about().name, "x");
}
