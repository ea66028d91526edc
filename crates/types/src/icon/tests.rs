use super::*;
use proptest::prelude::*;

const SERVER: Option<&str> = Some("https://mcp.example.com/mcp");

fn icon(src: &str) -> Icon {
    Icon::new(src)
}

fn with_svg() -> IconPolicy {
    IconPolicy {
        allow_svg: true,
        ..IconPolicy::default()
    }
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], &kind[..], data, &[0; 4]].concat()
}

fn png(width: u32, height: u32, between: &[Vec<u8>]) -> Vec<u8> {
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes()[..],
        &[8, 6, 0, 0, 0],
    ]
    .concat();
    let parts = [
        &[raster::PNG_SIGNATURE.to_vec(), png_chunk(b"IHDR", &header)],
        between,
    ]
    .concat();
    [
        parts.concat(),
        png_chunk(b"IDAT", &[1, 2, 3]),
        png_chunk(b"IEND", &[]),
    ]
    .concat()
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let [(a, b), (c, d)] = [height, width].map(|n| (n.to_be_bytes()[0], n.to_be_bytes()[1]));
    let app0 = [0xff, 0xe0, 0, 4, 1, 2];
    let sof = [0xff, 0xff, 0xc0, 0, 11, 8, a, b, c, d, 1, 1, 0x11, 0];
    [
        &[0xff, 0xd8][..],
        &app0,
        &sof,
        &[0xff, 0xda, 0, 2, 9, 9, 0xff, 0xd9],
    ]
    .concat()
}

fn riff(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    let padding: &[u8] = if data.len() % 2 == 1 { &[0] } else { &[] };
    [&kind[..], &length[..], data, padding].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    riff(b"RIFF", &[&b"WEBP"[..], &chunks.concat()].concat())
}

fn vp8l(width: u32, height: u32) -> Vec<u8> {
    riff(
        b"VP8L",
        &[
            &[0x2f][..],
            &((width - 1) | ((height - 1) << 14)).to_le_bytes(),
        ]
        .concat(),
    )
}

fn vp8(width: u16, height: u16) -> Vec<u8> {
    riff(
        b"VP8 ",
        &[
            &[0, 0, 0, 0x9d, 0x01, 0x2a][..],
            &width.to_le_bytes(),
            &height.to_le_bytes(),
        ]
        .concat(),
    )
}

fn vp8x(width: u32, height: u32) -> Vec<u8> {
    let [w, h] = [width - 1, height - 1].map(u32::to_le_bytes);
    riff(b"VP8X", &[&[2, 0, 0, 0][..], &w[..3], &h[..3]].concat())
}

fn frame(width: u32, height: u32, image: &[u8]) -> Vec<u8> {
    let [w, h] = [width - 1, height - 1].map(u32::to_le_bytes);
    riff(
        b"ANMF",
        &[&[0; 6][..], &w[..3], &h[..3], &[0; 4], image].concat(),
    )
}

fn size(policy: &IconPolicy, bytes: &[u8]) -> Result<(Option<(u32, u32)>, u32), IconProblem> {
    policy
        .check_bytes(None, bytes)
        .map(|facts| (facts.size, facts.frames))
}

// spec: icons-04
#[test]
fn only_https_and_data_addresses_pass() {
    let policy = IconPolicy::default();
    assert_eq!(
        policy.check(&icon("https://mcp.example.com/icon.png"), SERVER),
        Ok(())
    );
    assert_eq!(
        policy.check(&icon("HTTPS://MCP.example.com:443/icon.png"), SERVER),
        Ok(())
    );
    assert_eq!(
        policy.check(&icon("data:image/png;base64,AAAA"), SERVER),
        Ok(())
    );
    for src in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://mcp.example.com/icon.png",
        "ws://mcp.example.com/",
        "http://mcp.example.com/icon.png",
        "app://icon",
        " https://mcp.example.com/icon.png",
        "icon.png",
        "",
    ] {
        assert_eq!(
            policy.check(&icon(src), SERVER),
            Err(IconProblem::Scheme),
            "{src}"
        );
    }
}

// spec: icons-09
#[test]
fn an_icon_shares_the_origin_of_its_server_or_of_a_trusted_one() {
    let mut policy = IconPolicy::default();
    for src in [
        "https://evil.example/icon.png",
        "https://example.com/icon.png",
        "https://cdn.mcp.example.com/icon.png",
        "https://mcp.example.com:8443/icon.png",
        "https://mcp.example.com.evil.example/icon.png",
    ] {
        assert_eq!(
            policy.check(&icon(src), SERVER),
            Err(IconProblem::Origin),
            "{src}"
        );
    }
    for src in [
        "https://mcp.example.com@evil.example/",
        "https://evil.example\\@mcp.example.com/",
    ] {
        assert!(
            matches!(
                policy.check(&icon(src), SERVER),
                Err(IconProblem::Address(_))
            ),
            "{src}"
        );
    }
    let cdn = icon("https://cdn.example.com/icon.png");
    assert_eq!(policy.check(&cdn, None), Err(IconProblem::Origin));
    assert_eq!(
        policy.check(&cdn, Some("http://cdn.example.com/")),
        Err(IconProblem::Origin)
    );
    policy
        .trusted_origins
        .push("https://cdn.example.com".to_owned());
    assert_eq!(policy.check(&cdn, None), Ok(()));
}

// spec: icons-05
#[test]
fn redirects_stay_on_https_and_on_the_origin() {
    let from = "https://mcp.example.com/icon.png";
    assert!(redirect_allowed(
        from,
        "https://mcp.example.com/v2/icon.png"
    ));
    for to in [
        "http://mcp.example.com/icon.png",
        "https://evil.example/icon.png",
        "https://mcp.example.com:444/icon.png",
        "data:image/png;base64,AAAA",
        "/icon.png",
    ] {
        assert!(!redirect_allowed(from, to), "{to}");
    }
    assert!(!redirect_allowed("http://a.example/", "http://a.example/b"));
}

// spec: icons-08
#[test]
fn a_fetch_sends_accept_and_nothing_else() {
    let policy = IconPolicy::default();
    let plan = policy
        .plan(&icon("https://mcp.example.com/icon.png"), SERVER)
        .unwrap()
        .unwrap();
    assert_eq!(
        plan.headers,
        [("accept", "image/png, image/jpeg, image/webp")]
    );
    let next = plan.redirect("https://mcp.example.com/b.png").unwrap();
    assert_eq!(
        (next.headers, next.url.as_str()),
        (plan.headers.clone(), "https://mcp.example.com/b.png")
    );
    assert_eq!(
        plan.redirect("https://evil.example/"),
        Err(IconProblem::Origin)
    );
    assert_eq!(
        policy.plan(&icon("data:image/png;base64,AAAA"), SERVER),
        Ok(None)
    );
    assert!(policy.plan(&icon("https://evil.example/"), SERVER).is_err());
}

// spec: icons-01, icons-02
#[test]
fn png_jpeg_webp_and_svg_are_supported() {
    let policy = with_svg();
    assert_eq!(
        policy
            .check_bytes(Some("image/png"), &png(48, 32, &[]))
            .unwrap()
            .size,
        Some((48, 32))
    );
    for mime in ["image/jpeg", "image/jpg", "IMAGE/JPEG; q=1"] {
        assert_eq!(
            policy.check_bytes(Some(mime), &jpeg(48, 32)).unwrap().size,
            Some((48, 32)),
            "{mime}"
        );
    }
    for bytes in [
        webp(&[vp8(48, 32)]),
        webp(&[vp8l(48, 32)]),
        webp(&[vp8x(48, 32), vp8(48, 32)]),
    ] {
        assert_eq!(
            policy.check_bytes(Some("image/webp"), &bytes).unwrap().size,
            Some((48, 32))
        );
    }
    let svg = br##"<?xml version="1.0" encoding="UTF-8"?><!-- drawn --><svg xmlns="http://www.w3.org/2000/svg"
        viewBox='0 0 24 24'><defs><linearGradient id="g"><stop offset="0" stop-color="red"/></linearGradient></defs>
        <style>.a { fill: url(#g) }</style><path class="a" d="M0 0h24v24z"/><use xlink:href="#g" /></svg>"##;
    assert_eq!(
        policy.check_bytes(Some("image/svg+xml"), svg),
        Ok(IconFacts {
            kind: IconKind::Svg,
            size: None,
            frames: 1
        })
    );
}

// spec: icons-10
#[test]
fn the_bytes_decide_and_the_declared_type_must_agree() {
    let policy = IconPolicy::default();
    assert_eq!(
        policy.check_bytes(Some("image/jpeg"), &png(1, 1, &[])),
        Err(IconProblem::Mismatch {
            declared: IconKind::Jpeg,
            found: IconKind::Png
        })
    );
    assert_eq!(
        policy.check_bytes(None, &png(1, 1, &[])).unwrap().kind,
        IconKind::Png
    );
    for unknown in [
        &b"GIF89a\x01\0\x01\0"[..],
        b"BM\0\0",
        b"<html><svg></svg></html>",
        b"%PDF-1.7",
        b"",
        b"RIFF\0\0\0\0WAVE",
    ] {
        assert_eq!(
            policy.check_bytes(None, unknown),
            Err(IconProblem::UnknownKind),
            "{unknown:?}"
        );
        assert_eq!(
            policy.check_bytes(Some("image/png"), unknown),
            Err(IconProblem::UnknownKind),
            "{unknown:?}"
        );
    }
    for mime in ["image/gif", "text/html", "image/x-icon", "image/png2", ""] {
        let refused = Err(IconProblem::MimeType(mime.to_owned()));
        assert_eq!(
            policy.check_bytes(Some(mime), &png(1, 1, &[])).map(drop),
            refused,
            "{mime}"
        );
        assert_eq!(
            policy.check(
                &icon("https://mcp.example.com/i").with_mime_type(mime),
                SERVER
            ),
            refused,
            "{mime}"
        );
    }
}

#[test]
fn a_generic_content_type_gives_way_to_the_one_of_the_icon() {
    let named = icon("https://mcp.example.com/i").with_mime_type("image/png");
    for generic in [
        None,
        Some(""),
        Some("application/octet-stream"),
        Some("Application/Octet-Stream; x=y"),
    ] {
        assert_eq!(declared_mime(generic, &named), Some("image/png"));
    }
    assert_eq!(declared_mime(Some("text/html"), &named), Some("text/html"));
    assert_eq!(
        declared_mime(None, &icon("https://mcp.example.com/i")),
        None
    );
}

// spec: icons-06, icons-07
#[test]
fn bytes_pixels_and_frames_are_bounded() {
    let policy = IconPolicy {
        max_bytes: 400,
        max_side: 64,
        max_frames: 2,
        ..IconPolicy::default()
    };
    assert_eq!(
        policy.check_bytes(None, &vec![0; 401]),
        Err(IconProblem::TooManyBytes)
    );
    let long = format!("data:image/png;base64,{}", "A".repeat(540));
    assert_eq!(
        policy.check(&icon(&long), None),
        Err(IconProblem::TooManyBytes)
    );
    for (bytes, side) in [
        (png(65, 1, &[]), (65, 1)),
        (png(1, u32::MAX, &[]), (1, u32::MAX)),
        (jpeg(1, 65_535), (1, 65_535)),
        (webp(&[vp8(16_383, 1)]), (16_383, 1)),
        (webp(&[vp8l(1, 16_384)]), (1, 16_384)),
        // A small canvas does not hide a large image.
        (webp(&[vp8x(1, 1), frame(1, 1, &vp8l(9000, 2))]), (9000, 2)),
        (webp(&[vp8x(1 << 24, 1)]), (1 << 24, 1)),
    ] {
        assert_eq!(
            policy.check_bytes(None, &bytes),
            Err(IconProblem::TooLarge { size: side })
        );
    }
    let fctl = png_chunk(b"fcTL", &[0; 26]);
    let actl = |frames: u32| png_chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
    assert_eq!(
        size(&policy, &png(1, 1, &[actl(2), fctl.clone(), fctl.clone()])),
        Ok((Some((1, 1)), 2))
    );
    assert_eq!(
        size(&policy, &png(1, 1, &[actl(u32::MAX)])),
        Err(IconProblem::TooManyFrames(u32::MAX))
    );
    assert_eq!(
        size(
            &policy,
            &png(1, 1, &[actl(1), fctl.clone(), fctl.clone(), fctl])
        ),
        Err(IconProblem::TooManyFrames(3))
    );
    let frames = |count| webp(&[vec![vp8x(8, 8)], vec![frame(8, 8, &vp8l(8, 8)); count]].concat());
    assert_eq!(size(&policy, &frames(2)), Ok((Some((8, 8)), 2)));
    assert_eq!(
        size(&policy, &frames(3)),
        Err(IconProblem::TooManyFrames(3))
    );
}

// spec: icons-03
#[test]
fn a_header_that_does_not_add_up_is_refused() {
    let policy = IconPolicy::default();
    let late_header = [
        raster::PNG_SIGNATURE.to_vec(),
        png_chunk(b"IDAT", &[]),
        png_chunk(b"IEND", &[]),
    ]
    .concat();
    for bytes in [
        png(0, 1, &[]),
        png(1, 1, &[png_chunk(b"IHDR", &[0; 13])]),
        late_header,
        raster::PNG_SIGNATURE.to_vec(),
        jpeg(1, 0),
        vec![0xff, 0xd8, 0xff],
        vec![0xff, 0xd8, 0xff, 0xd9],
        [&jpeg(1, 1)[..20], &jpeg(1, 1)[8..]].concat(),
        webp(&[]),
        webp(&[riff(b"VP8 ", &[0; 10])]),
        webp(&[vp8x(1, 1), riff(b"ANMF", &[0; 3])]),
    ] {
        assert_eq!(
            policy.check_bytes(None, &bytes),
            Err(IconProblem::Malformed),
            "{bytes:?}"
        );
    }
    let whole = png(8, 8, &[]);
    for cut in 8..whole.len() - 12 {
        assert_eq!(
            policy.check_bytes(None, &whole[..cut]),
            Err(IconProblem::Malformed),
            "{cut}"
        );
    }
}

// spec: icons-11
#[test]
fn svg_is_refused_unless_allowed() {
    let policy = IconPolicy::default();
    assert_eq!(
        policy.check_bytes(None, b"<svg/>"),
        Err(IconProblem::SvgNotAllowed)
    );
    assert_eq!(
        policy.check_bytes(Some("image/svg+xml"), b"<svg/>"),
        Err(IconProblem::SvgNotAllowed)
    );
    assert_eq!(
        policy.check(&icon("data:image/svg+xml;base64,PHN2Zy8+"), None),
        Err(IconProblem::SvgNotAllowed)
    );
    assert!(with_svg().check_bytes(None, b"<svg/>").is_ok());
}

// spec: icons-03, icons-11
#[test]
fn an_allowed_svg_only_draws() {
    let policy = with_svg();
    for inside in [
        "<script>alert(1)</script>",
        "<SCRIPT/>",
        "<svg:script xmlns:svg='http://www.w3.org/2000/svg'/>",
        "<g onload='alert(1)'/>",
        "<g\nONCLICK = \"alert(1)\"/>",
        "<g x:onclick='a'/>",
        "<foreignObject><p/></foreignObject>",
        "<image href='https://evil.example/a.png'/>",
        "<use href='https://evil.example/a.svg#b'/>",
        "<use xlink:href='data:image/svg+xml;base64,AAAA'/>",
        "<use href='&#35;a'/>",
        "<a href='javascript:alert(1)'/>",
        "<animate attributeName='href' to='javascript:alert(1)'/>",
        "<set attributeName='onload' to='alert(1)'/>",
        "<rect style='fill: url(https://evil.example/a)'/>",
        "<rect fill='url(\"//evil.example/a\")'/>",
        "<rect style='fill: u\\72l(https:)'/>",
        "<rect style='fill: url&lpar;x)'/>",
        "<style>@import 'a.css';</style>",
        "<style>rect { fill: url(a.svg#b) }</style>",
        "<style><!-- } --></style>",
        "<style><![CDATA[ a ]]></style>",
        "<style><g/></style>",
        "<!-- --!> <script> -->",
        "<!--> <script> -->",
        "<?xml-stylesheet href='a.css'?>",
        "<g xmlns='http://www.w3.org/1999/xhtml'/>",
        "<g xml:base='https://evil.example/'/>",
        "<g a='1'b='2'/>",
        "<g a=1/>",
        "<g a/>",
        "<g",
        "</g>",
        "<g>",
        "\u{0}",
    ] {
        let svg = format!("<svg>{inside}</svg>");
        let checked = policy.check_bytes(None, svg.as_bytes());
        assert!(
            matches!(checked, Err(IconProblem::UnsafeSvg(_))),
            "{inside}: {checked:?}"
        );
    }
    for whole in [
        "<!DOCTYPE svg><svg/>",
        "<?xml version='1.0' encoding='utf-7'?><svg/>",
        "<svg/><svg/>",
        "<svg></svg>text",
    ] {
        assert!(
            matches!(
                policy.check_bytes(None, whole.as_bytes()),
                Err(IconProblem::UnsafeSvg(_))
            ),
            "{whole}"
        );
    }
}

// spec: icons-06
#[test]
fn an_svg_cannot_multiply_itself() {
    let policy = with_svg();
    let svg = |inside: String| format!("<svg>{inside}</svg>");
    assert!(
        policy
            .check_bytes(None, svg("<use href='#a'/>".repeat(32)).as_bytes())
            .is_ok()
    );
    for bomb in [
        "<use href='#a'/>".repeat(33),
        "<g>".repeat(64) + &"</g>".repeat(64),
        "<g/>".repeat(4096),
    ] {
        assert!(matches!(
            policy.check_bytes(None, svg(bomb).as_bytes()),
            Err(IconProblem::UnsafeSvg(_))
        ));
    }
}

#[test]
fn an_svg_with_entities_of_its_own_is_not_even_recognised() {
    let svg = b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>";
    assert_eq!(
        with_svg().check_bytes(None, svg),
        Err(IconProblem::UnknownKind)
    );
}

#[test]
fn a_data_icon_is_decoded_and_checked() {
    let policy = IconPolicy::default();
    let bytes = png(16, 16, &[]);
    let encoded = STANDARD.encode(&bytes);
    let (facts, decoded) = policy
        .decode_data(&icon(&format!("DATA:image/png;base64,{encoded}")))
        .unwrap();
    assert_eq!((facts.size, decoded), (Some((16, 16)), bytes));
    let untyped = icon(&format!("data:;base64,{encoded}"));
    assert!(policy.decode_data(&untyped).is_ok());
    assert!(matches!(
        policy.decode_data(&untyped.with_mime_type("image/webp")),
        Err(IconProblem::Mismatch { .. })
    ));
    let lies = icon(&format!("data:image/png;base64,{encoded}")).with_mime_type("image/jpeg");
    assert!(matches!(
        policy.check(&lies, None),
        Err(IconProblem::Mismatch { .. })
    ));
    for src in [
        "data:image/png,abc",
        "data:image/png;base64",
        "data:",
        "data:image/png;base64,!!!!",
    ] {
        assert!(
            matches!(policy.decode_data(&icon(src)), Err(IconProblem::Address(_))),
            "{src}"
        );
    }
}

proptest! {
    // spec: icons-03
    #[test]
    fn no_bytes_make_the_checks_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in 0..5_usize) {
        let heads: [&[u8]; 5] = [b"", raster::PNG_SIGNATURE, &[0xff, 0xd8], b"RIFF\0\0\0\0WEBP", b"<svg "];
        let whole = [heads[head], &bytes].concat();
        if let Ok(facts) = with_svg().check_bytes(None, &whole) {
            prop_assert!(facts.size.is_none_or(|(w, h)| (1..=1024).contains(&w) && (1..=1024).contains(&h)));
        }
    }

    // spec: icons-03
    #[test]
    fn a_damaged_image_never_panics(at in 0..200_usize, byte in any::<u8>(), which in 0..3_usize, cut in 0..200_usize) {
        let mut whole = match which {
            0 => png(8, 8, &[png_chunk(b"acTL", &[0; 8]), png_chunk(b"fcTL", &[0; 26])]),
            1 => jpeg(8, 8),
            _ => webp(&[vp8x(8, 8), frame(8, 8, &vp8l(8, 8)), frame(8, 8, &vp8(8, 8))]),
        };
        if let Some(slot) = whole.get_mut(at) {
            *slot = byte;
        }
        whole.truncate(whole.len().saturating_sub(cut));
        if let Ok(facts) = IconPolicy::default().check_bytes(None, &whole) {
            prop_assert!(facts.frames <= 60);
        }
    }

    // spec: icons-03, icons-04
    #[test]
    fn no_address_makes_the_check_panic(src in "(https://|data:|HTTPS://\\[|)[ -~\u{e9}]{0,40}") {
        if IconPolicy::default().check(&icon(&src), SERVER).is_ok() {
            let lower = src.to_ascii_lowercase();
            prop_assert!(lower.starts_with("https://mcp.example.com") || lower.starts_with("data:"));
        }
    }

    // spec: icons-11
    #[test]
    fn no_text_that_passes_holds_a_script(text in "(<svg>|<|>|/|script|svg|g| on|=|\"|'|!--|-->|style|use href|#a|url\\(|&#60;|</svg>){0,14}") {
        let svg = format!("<svg>{text}</svg>");
        if with_svg().check_bytes(None, svg.as_bytes()).is_ok() {
            let visible = strip_comments(&svg);
            prop_assert!(!visible.contains("<script"), "{svg}");
        }
    }
}

fn strip_comments(svg: &str) -> String {
    let mut parts = svg.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once("-->").map_or("", |(_, rest)| rest)
    })
}
