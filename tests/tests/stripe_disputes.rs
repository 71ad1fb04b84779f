//! Stripe's disputes, as its reference documentation shows them, from a small server on this machine: `localstripe` has none. What
//! is asked, with which fields and keys, and what is made of the answers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use commands::command::Standing;
use engine::providers::stripe::Stripe;
use engine::providers::{Dispute, EvidenceCall, PaymentProvider, Secret};
use events::chargeback::{ChargebackReason, EvidenceFile, EvidenceKind, MediaType, Round};
use events::ids::{ChargebackId, PaymentId};
use events::{Hash, Money, Timestamp};
use serde_json::{Value, json};

const PAYMENT: &str = "0198559f-e900-7abc-8def-000000000021";
const DISPUTE: &str = "du_1MtJUT2eZvKYlo2CNaw2HvEv";

/// What was asked: the method with the path, the form, and the idempotency key.
type Asked = (String, String, Option<String>);

/// A server that answers each request with the next of some answers, and remembers what it was asked.
struct Double {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    fn answering(answers: Vec<(u16, Value)>) -> Double {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (stream, _) = listener.accept().unwrap();
                seen.lock().unwrap().push(answer(stream, status, &body));
            }
        });
        Double { url, asked }
    }

    fn stripe(&self) -> Stripe {
        Stripe::new(&self.url, Secret::new("sk_test"), Some(Secret::new("whsec"))).unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Reads a request, answers it, and gives what it asked.
fn answer(stream: TcpStream, status: u16, body: &Value) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let asked = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let (mut length, mut key) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "idempotency-key" => key = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form).unwrap();
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    (asked, String::from_utf8(form).unwrap(), key)
}

/// The Dispute object of the reference documentation, shortened to what is read, with its intent expanded.
fn dispute(status: &str) -> Value {
    json!({
        "id": DISPUTE,
        "object": "dispute",
        "amount": 1000,
        "balance_transactions": [],
        "charge": "ch_1AZtxr2eZvKYlo2CJDX8whov",
        "created": 1_680_651_737,
        "currency": "usd",
        "evidence_details": {"due_by": 1_682_294_399, "has_evidence": false, "past_due": false, "submission_count": 0},
        "is_charge_refundable": false,
        "livemode": false,
        "metadata": {},
        "payment_intent": {"id": "pi_3MrPBM2eZvKYlo2C1TEMacFD", "object": "payment_intent", "metadata": {"payment": PAYMENT}},
        "payment_method_details": {"card": {"brand": "visa", "network_reason_code": "13.1"}, "type": "card"},
        "reason": "product_not_received",
        "status": status,
    })
}

fn payment() -> PaymentId {
    PAYMENT.parse().unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

async fn found(body: Value) -> Option<Dispute> {
    let double = Double::answering(vec![(200, body)]);
    let found = double.stripe().look_up_dispute(DISPUTE).await.unwrap();
    let asked = format!("GET /v1/disputes/{DISPUTE}?expand%5B%5D=payment_intent");
    assert_eq!(double.asked(), [(asked, String::new(), None)]);
    found
}

#[tokio::test]
async fn a_dispute_is_read_as_it_stands() {
    let mut body = dispute("needs_response");
    let taken = json!({"amount": -1000, "currency": "usd", "fee": 1500, "net": -2500, "type": "adjustment"});
    body["balance_transactions"] = json!([taken]);
    let expected = Dispute {
        payment: payment(),
        payment_reference: "pi_3MrPBM2eZvKYlo2C1TEMacFD".to_owned(),
        reference: DISPUTE.to_owned(),
        standing: Standing::NeedsResponse,
        round: Round::First,
        amount: usd(1000),
        due_by: Some(Timestamp::from_ms(1_682_294_399_000)),
        fee: Some(usd(1500)),
        reason: ChargebackReason::ItemNotReceived,
        network_reason: Some("13.1".to_owned()),
        submissions: 0,
    };
    assert_eq!(found(body).await, Some(expected));
}

#[tokio::test]
async fn every_status_is_read_and_what_is_not_known_is_no_answer() {
    for (status, standing) in [
        ("warning_needs_response", Standing::Inquiry),
        ("warning_under_review", Standing::InquiryUnderReview),
        ("warning_closed", Standing::InquiryClosed),
        ("needs_response", Standing::NeedsResponse),
        ("under_review", Standing::UnderReview),
        ("won", Standing::Won),
        ("lost", Standing::Lost),
    ] {
        assert_eq!(found(dispute(status)).await.unwrap().standing, standing, "{status}");
    }
    let double = Double::answering(vec![(200, dispute("prevented"))]);
    let error = double.stripe().look_up_dispute(DISPUTE).await.unwrap_err();
    assert!(error.0.contains("prevented"), "{error}");
}

#[tokio::test]
async fn every_reason_comes_down_to_one_of_ours() {
    for (reason, network, ours) in [
        ("product_unacceptable", "13.3", ChargebackReason::NotAsDescribed),
        ("product_unacceptable", "13.4", ChargebackReason::Counterfeit),
        ("fraudulent", "10.4", ChargebackReason::Unauthorized),
        ("unrecognized", "10.4", ChargebackReason::Unauthorized),
        ("duplicate", "12.6", ChargebackReason::Duplicate),
        ("credit_not_processed", "13.6", ChargebackReason::CancelledNotRefunded),
        ("subscription_canceled", "13.2", ChargebackReason::CancelledNotRefunded),
        ("general", "12.1", ChargebackReason::Late),
        ("general", "99", ChargebackReason::Other),
    ] {
        let mut body = dispute("needs_response");
        body["reason"] = reason.into();
        body["payment_method_details"]["card"]["network_reason_code"] = network.into();
        assert_eq!(found(body).await.unwrap().reason, ours, "{reason} {network}");
    }
}

#[tokio::test]
async fn what_is_of_no_payment_of_ours_is_none_of_our_business() {
    let mut body = dispute("needs_response");
    body["payment_intent"]["metadata"] = json!({});
    assert_eq!(found(body).await, None);
    let double = Double::answering(vec![(404, json!({"error": {"code": "resource_missing"}}))]);
    assert_eq!(double.stripe().look_up_dispute(DISPUTE).await, Ok(None));
}

fn evidence(kinds: &[EvidenceKind]) -> EvidenceCall {
    let file = |kind: &EvidenceKind| EvidenceFile {
        bytes: 9,
        hash: Hash::of(b"a file"),
        kind: *kind,
        media_type: MediaType::Pdf,
        token: format!("file_{kind:?}"),
    };
    EvidenceCall {
        payment: payment(),
        chargeback: ChargebackId::derive(payment(), DISPUTE),
        reference: DISPUTE.to_owned(),
        files: kinds.iter().map(file).collect(),
        statement: Some("It came.".to_owned()),
    }
}

#[tokio::test]
async fn evidence_is_submitted_once_under_its_own_key() {
    let mut body = dispute("under_review");
    body["evidence_details"]["submission_count"] = 1.into();
    let double = Double::answering(vec![(200, body)]);
    let call = evidence(&[EvidenceKind::Tracking, EvidenceKind::Receipt, EvidenceKind::Photos]);
    let taken = double.stripe().submit_evidence(&call).await.unwrap();
    assert_eq!((taken.standing, taken.submissions), (Standing::UnderReview, 1));
    let [(asked, form, key)] = &double.asked()[..] else { panic!("{:?}", double.asked()) };
    assert_eq!(*asked, format!("POST /v1/disputes/{DISPUTE}"));
    assert_eq!(*key, Some(format!("skylink-evidence-{}", call.chargeback)));
    for field in [
        "evidence%5Bshipping_documentation%5D=file_Tracking",
        "evidence%5Breceipt%5D=file_Receipt",
        "evidence%5Buncategorized_file%5D=file_Photos",
        "evidence%5Buncategorized_text%5D=It+came.",
        "submit=true",
    ] {
        assert!(form.split('&').any(|pair| pair == field), "{field} in {form}");
    }
}

#[tokio::test]
async fn two_files_for_one_field_are_not_sent() {
    let double = Double::answering(vec![]);
    let call = evidence(&[EvidenceKind::Photos, EvidenceKind::RefundProof]);
    let error = double.stripe().submit_evidence(&call).await.unwrap_err();
    assert!(error.0.contains("one file"), "{error}");
    assert_eq!(double.asked(), []);
}

#[tokio::test]
async fn a_dispute_that_is_given_up_is_closed() {
    let double = Double::answering(vec![(200, dispute("lost"))]);
    let closed = double.stripe().accept_dispute(DISPUTE).await.unwrap();
    assert_eq!(closed.standing, Standing::Lost);
    let asked = format!("POST /v1/disputes/{DISPUTE}/close");
    let key = Some(format!("skylink-accept-{DISPUTE}"));
    assert_eq!(double.asked(), [(asked, "expand%5B%5D=payment_intent".to_owned(), key)]);
    let error =
        json!({"error": {"type": "invalid_request_error", "message": "This dispute is already closed"}});
    let double = Double::answering(vec![(400, error)]);
    assert!(double.stripe().accept_dispute(DISPUTE).await.is_err(), "what became of it is asked");
}
