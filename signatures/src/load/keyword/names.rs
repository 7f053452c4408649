//! The names of events, as rules write them: facts of Suricata's language. Not all of them occur here.

/// Of packets: `decode-event`.
pub(super) const DECODE: &str = "afpacket.trunc_pkt arp.invalid_hardware_size arp.invalid_pkt arp.invalid_protocol_size \
        arp.pkt_too_small arp.unsupported_hardware arp.unsupported_opcode arp.unsupported_pkt \
        arp.unsupported_protocol chdlc.pkt_too_small dce.pkt_too_small erspan.header_too_small \
        erspan.too_many_vlan_layers erspan.unsupported_version etag.header_too_small etag.unknown_type \
        ethernet.pkt_too_small ethernet.unknown_ethertype geneve.unknown_payload_type gre.pkt_too_small \
        gre.version0_flags gre.version0_hdr_too_big gre.version0_malformed_sre_hdr gre.version0_recur \
        gre.version1_chksum gre.version1_flags gre.version1_hdr_too_big gre.version1_malformed_sre_hdr \
        gre.version1_no_key gre.version1_recur gre.version1_route gre.version1_ssr \
        gre.version1_wrong_protocol gre.wrong_version icmpv4.ipv4_trunc_pkt icmpv4.ipv4_unknown_ver \
        icmpv4.pkt_too_small icmpv4.unknown_code icmpv4.unknown_type icmpv6.experimentation_type \
        icmpv6.ipv6_trunc_pkt icmpv6.ipv6_unknown_version icmpv6.mld_message_with_invalid_hl \
        icmpv6.pkt_too_small icmpv6.unassigned_type icmpv6.unknown_code icmpv6.unknown_type \
        ieee8021ah.header_too_small igmp.malformed igmp.pkt_too_small igmp.v3_pkt_too_small \
        ipraw.invalid_ip_version ipv4.frag_ignored ipv4.frag_overlap ipv4.frag_pkt_too_large \
        ipv4.hlen_too_small ipv4.icmpv6 ipv4.iplen_smaller_than_hlen ipv4.opt_duplicate \
        ipv4.opt_eol_required ipv4.opt_invalid ipv4.opt_invalid_len ipv4.opt_malformed ipv4.opt_pad_required \
        ipv4.opt_unknown ipv4.pkt_too_small ipv4.trunc_pkt ipv4.unknown_protocol ipv4.wrong_ip_version \
        ipv6.data_after_none_header ipv6.dstopts_only_padding ipv6.dstopts_unknown_opt \
        ipv6.exthdr_ah_res_not_null ipv6.exthdr_dupl_ah ipv6.exthdr_dupl_dh ipv6.exthdr_dupl_eh \
        ipv6.exthdr_dupl_fh ipv6.exthdr_dupl_hh ipv6.exthdr_dupl_rh ipv6.exthdr_invalid_optlen \
        ipv6.exthdr_useless_fh ipv6.fh_non_zero_reserved_field ipv6.frag_ignored ipv6.frag_invalid_length \
        ipv6.frag_overlap ipv6.frag_pkt_too_large ipv6.hopopts_only_padding ipv6.hopopts_unknown_opt \
        ipv6.icmpv4 ipv6.ipv4_in_ipv6_too_small ipv6.ipv4_in_ipv6_wrong_version ipv6.ipv6_in_ipv6_too_small \
        ipv6.ipv6_in_ipv6_wrong_version ipv6.pkt_too_small ipv6.rh_type_0 ipv6.trunc_exthdr ipv6.trunc_pkt \
        ipv6.unknown_next_header ipv6.wrong_ip_version ipv6.zero_len_padn ltnull.pkt_too_small \
        ltnull.unsupported_type mpls.bad_label_implicit_null mpls.bad_label_reserved \
        mpls.bad_label_router_alert mpls.header_too_small mpls.pkt_too_small mpls.unknown_payload_type \
        nsh.bad_header_length nsh.header_too_small nsh.reserved_type nsh.unknown_payload \
        nsh.unsupported_type nsh.unsupported_version ppp.ip4_pkt_too_small ppp.ip6_pkt_too_small \
        ppp.pkt_too_small ppp.unsup_proto ppp.vju_pkt_too_small ppp.wrong_type pppoe.malformed_tags \
        pppoe.pkt_too_small pppoe.wrong_code sctp.chunk_len_invalid sctp.chunk_too_small \
        sctp.data_with_zero_vtag sctp.init_chunk_bundled sctp.init_with_non_zero_vtag sctp.pkt_too_small \
        sctp.too_many_chunks sctp.too_many_data_chunks sll.pkt_too_small tcp.hlen_too_small \
        tcp.invalid_optlen tcp.opt_duplicate tcp.opt_invalid_len tcp.pkt_too_small too_many_layers \
        udp.hlen_invalid udp.hlen_too_small udp.len_invalid udp.pkt_too_small vlan.header_too_small \
        vlan.too_many_layers vlan.unknown_type vntag.header_too_small vntag.unknown_type \
        vxlan.unknown_payload_type";

/// Of streams: `stream-event`.
pub(super) const STREAM: &str = "3whs_ack_data_inject 3whs_ack_in_wrong_dir 3whs_async_wrong_seq 3whs_right_seq_wrong_ack_evasion \
        3whs_syn_flood 3whs_syn_resend_diff_seq_on_syn_recv 3whs_syn_toclient_on_syn_recv 3whs_synack_flood \
        3whs_synack_in_wrong_direction 3whs_synack_resend_with_diff_ack 3whs_synack_resend_with_diff_seq \
        3whs_synack_resend_with_different_ack 3whs_synack_tfo_data_ignored 3whs_synack_toserver_on_syn_recv \
        3whs_synack_with_wrong_ack 3whs_wrong_seq_wrong_ack 4whs_invalid_ack 4whs_synack_with_wrong_ack \
        4whs_synack_with_wrong_syn 4whs_wrong_seq closewait_ack_out_of_window closewait_fin_out_of_window \
        closewait_invalid_ack closewait_pkt_before_last_ack closing_ack_wrong_seq closing_invalid_ack \
        est_invalid_ack est_packet_out_of_window est_pkt_before_last_ack est_syn_resend \
        est_syn_resend_diff_seq est_syn_toclient est_synack_resend est_synack_resend_with_diff_ack \
        est_synack_resend_with_diff_seq est_synack_resend_with_different_ack est_synack_toserver \
        fin1_ack_wrong_seq fin1_fin_wrong_seq fin1_invalid_ack fin2_ack_wrong_seq fin2_fin_wrong_seq \
        fin2_invalid_ack fin_but_no_session fin_invalid_ack fin_out_of_window fin_syn lastack_ack_wrong_seq \
        lastack_invalid_ack pkt_bad_window_update pkt_broken_ack pkt_invalid_ack pkt_invalid_timestamp \
        pkt_retransmission pkt_spurious_retransmission reassembly_depth_reached reassembly_insert_invalid \
        reassembly_insert_limit reassembly_insert_memcap reassembly_no_segment \
        reassembly_overlap_different_data reassembly_segment_before_base_seq reassembly_seq_gap \
        reassembly_urgent_oob_limit_reached rst_but_no_session rst_invalid_ack shutdown_syn_resend \
        suspected_rst_inject timewait_ack_wrong_seq timewait_invalid_ack wrong_thread";

/// Of flows, by `app-layer-event` without a protocol.
pub(super) const FLOW: &str = "applayer_detect_protocol_only_one_direction applayer_mismatch_protocol_both_directions \
        applayer_no_tls_after_starttls applayer_proto_detection_skipped applayer_unexpected_protocol \
        applayer_wrong_direction_first_data";

/// Of application protocols: `app-layer-event`.
pub(super) const APP: &[(&str, &str)] = &[
    ("bittorrent-dht", "malformed_packet"),
    ("dhcp", "malformed_options truncated_options"),
    (
        "dnp3",
        "bad_link_crc bad_transport_crc flooded len_too_small max_points_per_object too_long_reassembly \
        too_many_objects too_many_points unknown_object",
    ),
    (
        "dns",
        "infinite_loop invalid_additionals invalid_authorities invalid_opcode malformed_data name_too_long \
        not_a_request not_a_response not_request not_response too_many_labels z_flag_set",
    ),
    ("enip", "invalid_pdu too_many_transactions"),
    (
        "ftp",
        "file_before_port file_without_name request_command_too_long response_command_too_long \
        too_many_transactions",
    ),
    (
        "http",
        "100_continue_already_seen abnormal_ce_header compression_bomb compression_bomb_limit_reached \
        double_encoded_uri duplicate_content_length_field_in_request \
        duplicate_content_length_field_in_response failed_protocol_change file_name_too_long \
        gzip_decompression_failed host_header_ambiguous invalid_authority_port \
        invalid_content_length_field_in_request invalid_content_length_field_in_response \
        invalid_request_chunk_len invalid_request_field_folding invalid_response_chunk_len \
        invalid_response_field_folding invalid_server_port_in_request \
        invalid_transfer_encoding_value_in_request invalid_transfer_encoding_value_in_response \
        lzma_memlimit_reached method_delim_non_compliant missing_host_header multipart_generic_error \
        multipart_invalid_header multipart_no_filedata range_invalid request_auth_unrecognized \
        request_body_unexpected request_chunk_extension request_field_missing_colon request_field_too_long \
        request_header_host_invalid request_header_invalid request_header_repetition request_line_incomplete \
        request_line_invalid request_line_leading_whitespace request_line_missing_protocol \
        request_server_port_tcp_port_mismatch request_too_many_headers request_uri_host_invalid \
        response_abnormal_transfer_encoding response_chunk_extension response_chunked_old_proto \
        response_field_missing_colon response_field_too_long response_header_invalid \
        response_header_repetition response_invalid_protocol response_invalid_status \
        response_multipart_byteranges response_too_many_headers too_many_encoding_layers too_many_warnings \
        unable_to_match_response_to_request unknown_error uri_delim_non_compliant",
    ),
    (
        "http2",
        "authority_host_mismatch compression_bomb data_stream_zero dns_request_too_long dns_response_too_long \
        extra_header_data failed_decompression header_integer_overflow invalid_client_magic \
        invalid_frame_data invalid_frame_header invalid_frame_length invalid_header invalid_http1_settings \
        invalid_range long_frame_data reassembly_limit_reached stream_id_reuse too_many_frames \
        too_many_streams userinfo_in_uri",
    ),
    (
        "ike",
        "invalid_proposal malformed_data multiple_server_proposal no_encryption unknown_proposal \
        weak_crypto_auth weak_crypto_dh weak_crypto_enc weak_crypto_no_auth weak_crypto_no_dh \
        weak_crypto_prf",
    ),
    ("krb5", "malformed_data weak_encryption"),
    ("ldap", "invalid_data request_not_found too_many_responses too_many_transactions"),
    (
        "mdns",
        "infinite_loop invalid_additionals invalid_authorities invalid_opcode malformed_data name_too_long \
        not_request not_response too_many_labels z_flag_set",
    ),
    (
        "modbus",
        "flooded invalid_exception_code invalid_function_code invalid_length invalid_protocol_id \
        invalid_value unsolicited_response value_mismatch",
    ),
    (
        "mqtt",
        "double_connect invalid_qos_level malformed_traffic missing_connect missing_msg_id missing_publish \
        missing_subscribe missing_unsubscribe too_many_messages too_many_transactions unassigned_msg_type \
        unintroduced_message",
    ),
    ("nfs", "malformed_data too_many_transactions"),
    ("ntp", "malformed_data"),
    ("pgsql", "invalid_length malformed_request malformed_response too_many_transactions"),
    ("pop3", "incorrect_argument_count request_too_long response_too_long too_many_transactions unknown_command"),
    ("quic", "crypto_frag_too_long error_on_data failed_decrypt"),
    ("rfb", "confused_state malformed_message unimplemented_security_type unknown_security_result"),
    ("sip", "invalid_data"),
    (
        "smb",
        "file_overlap internal_error malformed_data malformed_ntlmssp_request negotiate_malformed_dialects \
        negotiate_max_read_size_too_large negotiate_max_write_size_too_large read_queue_cnt_exceeded \
        read_queue_size_exceeded read_request_too_large read_response_too_large request_to_client \
        response_to_server too_many_transactions write_queue_cnt_exceeded write_queue_size_exceeded \
        write_request_too_large",
    ),
    (
        "smtp",
        "bdat_chunk_len_exceeded data_command_rejected duplicate_fields failed_protocol_change invalid_bdat \
        invalid_pipelined_sequence invalid_reply max_command_line_len_exceeded max_reply_line_len_exceeded \
        mime_invalid_base64 mime_invalid_qp mime_long_boundary mime_long_enc_line mime_long_filename \
        mime_long_header_name mime_long_header_value mime_long_line mime_malformed_msg mime_parse_failed \
        no_server_welcome_message tls_rejected unable_to_match_reply_with_request unparsable_content",
    ),
    ("snmp", "malformed_data unknown_security_model version_mismatch"),
    ("ssh", "invalid_banner invalid_record long_banner"),
    (
        "tls",
        "certificate_invalid_algorithmidentifier certificate_invalid_date certificate_invalid_der \
        certificate_invalid_extensions certificate_invalid_issuer certificate_invalid_length \
        certificate_invalid_serial certificate_invalid_string certificate_invalid_subject \
        certificate_invalid_validity certificate_invalid_version certificate_invalid_x509name \
        certificate_missing_element certificate_unknown_element dataleak_heartbeat_mismatch \
        error_message_encountered handshake_invalid_length heartbeat_message invalid_alert_message \
        invalid_certificate invalid_handshake_message invalid_heartbeat_message invalid_record_type \
        invalid_record_version invalid_sni_length invalid_sni_type invalid_ssl_record invalid_sslv2_header \
        invalid_tls_header multiple_sni_extensions overflow_heartbeat_message too_many_records_in_packet",
    ),
    ("websocket", "reassembly_limit_reached skip_end_of_payload"),
];

/// Whether a list has a name.
pub(super) fn has(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == name)
}
