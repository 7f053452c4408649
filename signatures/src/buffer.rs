//! What contents are looked for in: one list of all buffers, with their names.

use crate::{protocol::App, subject::Direction};

/// Which direction says what a buffer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    ToServer,
    ToClient,
    /// Either: the rule's `flow` says which one is meant.
    Both,
}

impl Way {
    /// Whether it may be asked of this direction.
    pub const fn is(self, direction: Direction) -> bool {
        match self {
            Self::ToServer => matches!(direction, Direction::ToServer),
            Self::ToClient => matches!(direction, Direction::ToClient),
            Self::Both => true,
        }
    }
}

macro_rules! buffers {
    ($($variant:ident $name:literal $([$($alias:literal)+])? $way:ident $($app:ident)|+;)+) => {
        /// A sticky buffer of a transaction. Suricata's documentation of the keyword says what it holds.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Buffer {
            $(#[doc = $name] $variant),+
        }

        impl Buffer {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The keyword that selects it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The buffer that a keyword selects, by its name or an earlier one for a sticky buffer.
            pub fn named(keyword: &str) -> Option<Self> {
                match keyword {
                    $($name $($(| $alias)+)? => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Who says what it holds.
            pub const fn way(self) -> Way {
                match self {
                    $(Self::$variant => Way::$way),+
                }
            }

            /// The protocols that have it.
            pub const fn apps(self) -> &'static [App] {
                match self {
                    $(Self::$variant => &[$(App::$app),+]),+
                }
            }
        }
    };
}

buffers! {
    HttpMethod "http.method" ToServer Http;
    HttpUri "http.uri" ToServer Http;
    HttpUriRaw "http.uri.raw" ToServer Http;
    HttpRequestLine "http.request_line" ["http_request_line"] ToServer Http;
    HttpProtocol "http.protocol" ["http_protocol"] Both Http;
    HttpHost "http.host" ToServer Http;
    HttpHostRaw "http.host.raw" ToServer Http;
    HttpUserAgent "http.user_agent" ToServer Http;
    HttpReferer "http.referer" ["http_referer"] ToServer Http;
    HttpCookie "http.cookie" Both Http;
    HttpHeader "http.header" Both Http;
    HttpHeaderRaw "http.header.raw" Both Http;
    HttpRequestHeader "http.request_header" ToServer Http;
    HttpResponseHeader "http.response_header" ToClient Http;
    HttpHeaderNames "http.header_names" ["http_header_names"] Both Http;
    HttpAccept "http.accept" ["http_accept"] ToServer Http;
    HttpAcceptEnc "http.accept_enc" ["http_accept_enc"] ToServer Http;
    HttpAcceptLang "http.accept_lang" ["http_accept_lang"] ToServer Http;
    HttpConnection "http.connection" ["http_connection"] Both Http;
    HttpContentType "http.content_type" ["http_content_type"] Both Http;
    HttpContentLen "http.content_len" ["http_content_len"] Both Http;
    HttpLocation "http.location" ToClient Http;
    HttpServer "http.server" ToClient Http;
    HttpStart "http.start" ["http_start"] Both Http;
    HttpRequestBody "http.request_body" ToServer Http;
    HttpResponseBody "http.response_body" ToClient Http;
    HttpResponseLine "http.response_line" ["http_response_line"] ToClient Http;
    HttpStatCode "http.stat_code" ToClient Http;
    HttpStatMsg "http.stat_msg" ToClient Http;
    Http2HeaderName "http2.header_name" Both Http2;
    FileData "file.data" ["file_data"] Both Http | Smtp | FtpData | Ftp | Smb | Nfs;
    FileName "file.name" Both Http | Smtp | FtpData | Ftp | Smb | Nfs;
    FileMagic "file.magic" Both Http | Smtp | FtpData | Ftp | Smb | Nfs;
    DnsQuery "dns.query" ["dns_query"] ToServer Dns | Doh2;
    DnsQueryName "dns.query.name" Both Dns | Doh2;
    DnsAnswerName "dns.answer.name" Both Dns | Doh2;
    DnsQueriesRrname "dns.queries.rrname" Both Dns | Doh2;
    DnsAnswersRrname "dns.answers.rrname" Both Dns | Doh2;
    DnsAuthoritiesRrname "dns.authorities.rrname" Both Dns | Doh2;
    DnsAdditionalsRrname "dns.additionals.rrname" Both Dns | Doh2;
    DnsResponseRrname "dns.response.rrname" Both Dns | Doh2;
    MdnsQueriesRrname "mdns.queries.rrname" Both Mdns;
    MdnsAnswersRrname "mdns.answers.rrname" Both Mdns;
    MdnsAuthoritiesRrname "mdns.authorities.rrname" Both Mdns;
    MdnsAdditionalsRrname "mdns.additionals.rrname" Both Mdns;
    MdnsResponseRrname "mdns.response.rrname" Both Mdns;
    TlsSni "tls.sni" ["tls_sni"] ToServer Tls | Quic;
    TlsAlpn "tls.alpn" Both Tls;
    TlsRandom "tls.random" Both Tls;
    TlsRandomTime "tls.random_time" Both Tls;
    TlsRandomBytes "tls.random_bytes" Both Tls;
    TlsCerts "tls.certs" Both Tls;
    TlsCertSubject "tls.cert_subject" ["tls_cert_subject"] Both Tls;
    TlsCertIssuer "tls.cert_issuer" ["tls_cert_issuer"] Both Tls;
    TlsCertSerial "tls.cert_serial" ["tls_cert_serial"] Both Tls;
    TlsCertFingerprint "tls.cert_fingerprint" ["tls_cert_fingerprint"] Both Tls;
    TlsSubjectAltName "tls.subjectaltname" ToClient Tls;
    TlsSubject "tls.subject" Both Tls;
    TlsIssuer "tls.issuerdn" Both Tls;
    TlsFingerprint "tls.fingerprint" Both Tls;
    TlsVersion "tls.version" Both Tls;
    Ja3Hash "ja3.hash" ["ja3_hash"] ToServer Tls | Quic;
    Ja3String "ja3.string" ["ja3_string"] ToServer Tls | Quic;
    Ja3sHash "ja3s.hash" ToClient Tls | Quic;
    Ja3sString "ja3s.string" ToClient Tls | Quic;
    Ja4Hash "ja4.hash" ToServer Tls | Quic;
    QuicVersion "quic.version" Both Quic;
    QuicSni "quic.sni" ToServer Quic;
    QuicUa "quic.ua" ToServer Quic;
    QuicCyuHash "quic.cyu.hash" ToServer Quic;
    QuicCyuString "quic.cyu.string" ToServer Quic;
    SshProto "ssh.proto" ["ssh_proto"] Both Ssh;
    SshSoftware "ssh.software" ["ssh_software"] Both Ssh;
    SshHassh "ssh.hassh" ToServer Ssh;
    SshHasshString "ssh.hassh.string" ToServer Ssh;
    SshHasshServer "ssh.hassh.server" ToClient Ssh;
    SshHasshServerString "ssh.hassh.server.string" ToClient Ssh;
    SmtpHelo "smtp.helo" ToServer Smtp;
    SmtpMailFrom "smtp.mail_from" ToServer Smtp;
    SmtpRcptTo "smtp.rcpt_to" ToServer Smtp;
    EmailFrom "email.from" ToServer Smtp;
    EmailTo "email.to" ToServer Smtp;
    EmailCc "email.cc" ToServer Smtp;
    EmailSubject "email.subject" ToServer Smtp;
    EmailDate "email.date" ToServer Smtp;
    EmailMessageId "email.message_id" ToServer Smtp;
    EmailXMailer "email.x_mailer" ToServer Smtp;
    EmailUrl "email.url" ToServer Smtp;
    EmailReceived "email.received" ToServer Smtp;
    EmailBodyMd5 "email.body_md5" ToServer Smtp;
    WebsocketPayload "websocket.payload" Both Websocket;
    FtpCommand "ftp.command" ToServer Ftp;
    FtpCommandData "ftp.command_data" ToServer Ftp;
    FtpCompletionCode "ftp.completion_code" ToClient Ftp;
    FtpReply "ftp.reply" ToClient Ftp;
    Pop3Command "pop3.command" ToServer Pop3;
    MqttConnectClientId "mqtt.connect.clientid" ToServer Mqtt;
    MqttConnectUsername "mqtt.connect.username" ToServer Mqtt;
    MqttConnectPassword "mqtt.connect.password" ToServer Mqtt;
    MqttConnectWillTopic "mqtt.connect.willtopic" ToServer Mqtt;
    MqttConnectWillMessage "mqtt.connect.willmessage" ToServer Mqtt;
    MqttConnectProtocolString "mqtt.connect.protocol_string" ToServer Mqtt;
    MqttPublishTopic "mqtt.publish.topic" Both Mqtt;
    MqttPublishMessage "mqtt.publish.message" Both Mqtt;
    MqttSubscribeTopic "mqtt.subscribe.topic" ToServer Mqtt;
    MqttUnsubscribeTopic "mqtt.unsubscribe.topic" ToServer Mqtt;
    SipMethod "sip.method" ToServer Sip;
    SipUri "sip.uri" ToServer Sip;
    SipRequestLine "sip.request_line" ToServer Sip;
    SipProtocol "sip.protocol" Both Sip;
    SipStatCode "sip.stat_code" ToClient Sip;
    SipStatMsg "sip.stat_msg" ToClient Sip;
    SipResponseLine "sip.response_line" ToClient Sip;
    SipFrom "sip.from" Both Sip;
    SipTo "sip.to" Both Sip;
    SipVia "sip.via" Both Sip;
    SipUserAgent "sip.user_agent" Both Sip;
    SipContentType "sip.content_type" Both Sip;
    SipContentLength "sip.content_length" Both Sip;
    SdpOrigin "sdp.origin" Both Sip;
    SdpSessionName "sdp.session_name" Both Sip;
    SdpSessionInfo "sdp.session_info" Both Sip;
    SdpUri "sdp.uri" Both Sip;
    SdpEmail "sdp.email" Both Sip;
    SdpPhoneNumber "sdp.phone_number" Both Sip;
    SdpConnectionData "sdp.connection_data" Both Sip;
    SdpBandwidth "sdp.bandwidth" Both Sip;
    SdpTime "sdp.time" Both Sip;
    SdpRepeatTime "sdp.repeat_time" Both Sip;
    SdpTimezone "sdp.timezone" Both Sip;
    SdpEncryptionKey "sdp.encryption_key" Both Sip;
    SdpAttribute "sdp.attribute" Both Sip;
    SdpMedia "sdp.media.media" Both Sip;
    SdpMediaInfo "sdp.media.media_info" Both Sip;
    SdpMediaConnectionData "sdp.media.connection_data" Both Sip;
    SdpMediaEncryptionKey "sdp.media.encryption_key" Both Sip;
    Krb5Cname "krb5.cname" ["krb5_cname"] ToClient Krb5;
    Krb5Sname "krb5.sname" ["krb5_sname"] ToClient Krb5;
    SnmpCommunity "snmp.community" Both Snmp;
    SnmpUsm "snmp.usm" Both Snmp;
    SnmpTrapOid "snmp.trap_oid" Both Snmp;
    SnmpTrapAddress "snmp.trap_address" Both Snmp;
    RfbName "rfb.name" ToClient Rfb;
    LdapRequestDn "ldap.request.dn" ToServer Ldap;
    LdapRequestAttributeType "ldap.request.attribute_type" ToServer Ldap;
    LdapResponsesDn "ldap.responses.dn" ToClient Ldap;
    LdapResponsesMessage "ldap.responses.message" ToClient Ldap;
    LdapResponsesAttributeType "ldap.responses.attribute_type" ToClient Ldap;
    NtpReferenceId "ntp.reference_id" Both Ntp;
    LlmnrQueriesRrname "llmnr.queries.rrname" Both Llmnr;
    LlmnrAnswersRrname "llmnr.answers.rrname" Both Llmnr;
    LlmnrAuthoritiesRrname "llmnr.authorities.rrname" Both Llmnr;
    LlmnrAdditionalsRrname "llmnr.additionals.rrname" Both Llmnr;
    LlmnrResponseRrname "llmnr.response.rrname" Both Llmnr;
    SmbNamedPipe "smb.named_pipe" ["smb_named_pipe"] Both Smb;
    SmbShare "smb.share" ["smb_share"] Both Smb;
    SmbNtlmsspUser "smb.ntlmssp_user" ["smb_ntlmssp_user"] Both Smb;
    SmbNtlmsspDomain "smb.ntlmssp_domain" ["smb_ntlmssp_domain"] Both Smb;
    PgsqlQuery "pgsql.query" ToServer Pgsql;
    IkeInitSpi "ike.init_spi" Both Ike;
    IkeRespSpi "ike.resp_spi" Both Ike;
    IkeKeyExchangePayload "ike.key_exchange_payload" Both Ike;
    IkeNoncePayload "ike.nonce_payload" Both Ike;
    IkeVendor "ike.vendor" Both Ike;
    EnipProductName "enip.product_name" Both Enip;
    EnipServiceName "enip.service_name" Both Enip;
    Dnp3Data "dnp3.data" ["dnp3_data"] Both Dnp3;
    ModbusData "modbus.data" Both Modbus;
    DceStubData "dcerpc.stub_data" ["dce_stub_data"] Both Dcerpc | Smb;
}

impl Buffer {
    /// Its index in [`Buffer::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether a transaction may have several of it: selected twice, it is looked for twice.
    pub const fn is_multiple(self) -> bool {
        matches!(
            self,
            Self::HttpRequestHeader
                | Self::HttpResponseHeader
                | Self::Http2HeaderName
                | Self::DnsQuery
                | Self::DnsQueryName
                | Self::DnsAnswerName
                | Self::DnsQueriesRrname
                | Self::DnsAnswersRrname
                | Self::DnsAuthoritiesRrname
                | Self::DnsAdditionalsRrname
                | Self::DnsResponseRrname
                | Self::MdnsQueriesRrname
                | Self::MdnsAnswersRrname
                | Self::MdnsAuthoritiesRrname
                | Self::MdnsAdditionalsRrname
                | Self::MdnsResponseRrname
                | Self::TlsAlpn
                | Self::TlsCerts
                | Self::TlsSubjectAltName
                | Self::QuicCyuHash
                | Self::QuicCyuString
                | Self::SmtpRcptTo
                | Self::EmailUrl
                | Self::EmailReceived
                | Self::MqttSubscribeTopic
                | Self::MqttUnsubscribeTopic
                | Self::LdapRequestAttributeType
                | Self::LdapResponsesDn
                | Self::LdapResponsesAttributeType
                | Self::LdapResponsesMessage
                | Self::Krb5Cname
                | Self::Krb5Sname
                | Self::SipFrom
                | Self::SipTo
                | Self::SipVia
                | Self::SipUserAgent
                | Self::SipContentType
                | Self::SipContentLength
                | Self::IkeVendor
                | Self::LlmnrQueriesRrname
                | Self::LlmnrAnswersRrname
                | Self::LlmnrAuthoritiesRrname
                | Self::LlmnrAdditionalsRrname
                | Self::LlmnrResponseRrname
                | Self::SdpConnectionData
                | Self::SdpBandwidth
                | Self::SdpTime
                | Self::SdpRepeatTime
                | Self::SdpAttribute
                | Self::SdpMedia
                | Self::SdpMediaInfo
                | Self::SdpMediaConnectionData
                | Self::SdpMediaEncryptionKey
        )
    }
}
