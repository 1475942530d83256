# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors

check_PROGRAMS += tests/unit/runtime_test
TESTS += tests/unit/runtime_test
tests_unit_runtime_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/agent_reply_test
TESTS += tests/unit/agent_reply_test
tests_unit_agent_reply_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/health_test
TESTS += tests/unit/health_test
tests_unit_health_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/log_test
TESTS += tests/unit/log_test
tests_unit_log_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_options_test
TESTS += tests/unit/cli_options_test
tests_unit_cli_options_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_options_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_output_test
TESTS += tests/unit/cli_output_test
tests_unit_cli_output_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_output_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_moves_test
TESTS += tests/unit/cli_moves_test
tests_unit_cli_moves_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_moves_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)
tests_unit_cli_moves_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=qm__peer_next -Wl,--wrap=qm__peer_fd \
	-Wl,--wrap=qm__peer_lost

check_PROGRAMS += tests/unit/cli_hardware_test
TESTS += tests/unit/cli_hardware_test
tests_unit_cli_hardware_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_hardware_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_preview_test
TESTS += tests/unit/cli_preview_test
tests_unit_cli_preview_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_preview_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_protection_test
TESTS += tests/unit/cli_protection_test
tests_unit_cli_protection_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_protection_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_doctor_test
TESTS += tests/unit/cli_doctor_test
tests_unit_cli_doctor_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_doctor_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/capacity_test
TESTS += tests/unit/capacity_test
tests_unit_capacity_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cli_advice_test
TESTS += tests/unit/cli_advice_test
tests_unit_cli_advice_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_cli_advice_test_LDADD = src/cli/libqmcli.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/lifecycle_total_test
TESTS += tests/unit/lifecycle_total_test
tests_unit_lifecycle_total_test_SOURCES = \
	tests/unit/lifecycle_total_test.c \
	tests/unit/lifecycle_combos.h \
	tests/unit/unit.h
tests_unit_lifecycle_total_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/lifecycle_invariants_test
TESTS += tests/unit/lifecycle_invariants_test
tests_unit_lifecycle_invariants_test_LDADD = \
	src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/lifecycle_rows_test
TESTS += tests/unit/lifecycle_rows_test
tests_unit_lifecycle_rows_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cluster_gone_test
TESTS += tests/unit/cluster_gone_test
tests_unit_cluster_gone_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cluster_parse_test
TESTS += tests/unit/cluster_parse_test
tests_unit_cluster_parse_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/placement_parse_test
TESTS += tests/unit/placement_parse_test
tests_unit_placement_parse_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/bounded_test
TESTS += tests/unit/bounded_test
tests_unit_bounded_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/error_names_test
TESTS += tests/unit/error_names_test
tests_unit_error_names_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/clock_deadline_test
TESTS += tests/unit/clock_deadline_test
tests_unit_clock_deadline_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/timeouts_split_test
TESTS += tests/unit/timeouts_split_test
tests_unit_timeouts_split_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/pace_test
TESTS += tests/unit/pace_test
tests_unit_pace_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/converge_test
TESTS += tests/unit/converge_test
tests_unit_converge_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_codec_test
TESTS += tests/unit/image_codec_test
tests_unit_image_codec_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/job_codec_test
TESTS += tests/unit/job_codec_test
tests_unit_job_codec_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/worker_test
TESTS += tests/unit/worker_test
tests_unit_worker_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/url_parse_test
TESTS += tests/unit/url_parse_test
tests_unit_url_parse_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/crc32c_vectors_test
TESTS += tests/unit/crc32c_vectors_test
tests_unit_crc32c_vectors_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/record_codec_test
TESTS += tests/unit/record_codec_test
tests_unit_record_codec_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/record_pick_test
TESTS += tests/unit/record_pick_test
tests_unit_record_pick_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vault_dir_format_test
TESTS += tests/unit/vault_dir_format_test
tests_unit_vault_dir_format_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vault_dir_record_test
TESTS += tests/unit/vault_dir_record_test
tests_unit_vault_dir_record_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vault_dir_lock_test
TESTS += tests/unit/vault_dir_lock_test
tests_unit_vault_dir_lock_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vault_dir_errors_test
TESTS += tests/unit/vault_dir_errors_test
tests_unit_vault_dir_errors_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vault_dir_image_test
TESTS += tests/unit/vault_dir_image_test
tests_unit_vault_dir_image_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/gate_nbd_proto_test
TESTS += tests/unit/gate_nbd_proto_test
tests_unit_gate_nbd_proto_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/gate
tests_unit_gate_nbd_proto_test_LDADD = src/gate/libqmgate.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/gate_nbd_conn_test
TESTS += tests/unit/gate_nbd_conn_test
tests_unit_gate_nbd_conn_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/gate
tests_unit_gate_nbd_conn_test_LDADD = src/gate/libqmgate.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/gate_states_test
TESTS += tests/unit/gate_states_test
tests_unit_gate_states_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/gate
tests_unit_gate_states_test_LDADD = src/gate/libqmgate.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/gate_right_test
TESTS += tests/unit/gate_right_test
tests_unit_gate_right_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/gate
tests_unit_gate_right_test_LDADD = src/gate/libqmgate.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/gate_settings_test
TESTS += tests/unit/gate_settings_test
tests_unit_gate_settings_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/gate
tests_unit_gate_settings_test_LDADD = src/gate/libqmgate.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/gate_queue_test
TESTS += tests/unit/gate_queue_test
tests_unit_gate_queue_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/gate
tests_unit_gate_queue_test_LDADD = src/gate/libqmgate.la $(CMOCKA_LIBS)
tests_unit_gate_queue_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=qm__lun_submit

check_PROGRAMS += tests/unit/domxml_parse_test
TESTS += tests/unit/domxml_parse_test
tests_unit_domxml_parse_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/domxml_gates_test
TESTS += tests/unit/domxml_gates_test
tests_unit_domxml_gates_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/stream_fifo_test
TESTS += tests/unit/stream_fifo_test
tests_unit_stream_fifo_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vm_call_test
TESTS += tests/unit/vm_call_test
tests_unit_vm_call_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vm_orphans_test
TESTS += tests/unit/vm_orphans_test
tests_unit_vm_orphans_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_chunk_test
TESTS += tests/unit/image_chunk_test
tests_unit_image_chunk_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

image_test_sources = \
	tests/unit/fake_store.c \
	tests/unit/fake_store.h \
	tests/unit/image_fixture.h \
	$(NULL)

check_PROGRAMS += tests/unit/image_roundtrip_test
TESTS += tests/unit/image_roundtrip_test
tests_unit_image_roundtrip_test_SOURCES = \
	tests/unit/image_roundtrip_test.c $(image_test_sources)
tests_unit_image_roundtrip_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_follow_test
TESTS += tests/unit/image_follow_test
tests_unit_image_follow_test_SOURCES = \
	tests/unit/image_follow_test.c $(image_test_sources)
tests_unit_image_follow_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_xml_test
TESTS += tests/unit/image_xml_test
tests_unit_image_xml_test_SOURCES = \
	tests/unit/image_xml_test.c $(image_test_sources)
tests_unit_image_xml_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_crypt_test
TESTS += tests/unit/image_crypt_test
tests_unit_image_crypt_test_SOURCES = \
	tests/unit/image_crypt_test.c $(image_test_sources)
tests_unit_image_crypt_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_damage_test
TESTS += tests/unit/image_damage_test
tests_unit_image_damage_test_SOURCES = \
	tests/unit/image_damage_test.c $(image_test_sources)
tests_unit_image_damage_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/image_failure_test
TESTS += tests/unit/image_failure_test
tests_unit_image_failure_test_SOURCES = \
	tests/unit/image_failure_test.c $(image_test_sources)
tests_unit_image_failure_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/agent_params_test
TESTS += tests/unit/agent_params_test
tests_unit_agent_params_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_agent_params_test_LDADD = \
	resource-agents/libqmagent.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/agent_metadata_test
TESTS += tests/unit/agent_metadata_test
tests_unit_agent_metadata_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_agent_metadata_test_LDADD = \
	resource-agents/libqmagent.la $(LIBXML_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/agent_codes_test
TESTS += tests/unit/agent_codes_test
tests_unit_agent_codes_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_unit_agent_codes_test_LDADD = \
	resource-agents/libqmagent.la $(CMOCKA_LIBS)

# The lifecycle table as a document and a graph, kept in doc/.
noinst_PROGRAMS += tests/unit/lifecycle-doc
tests_unit_lifecycle_doc_SOURCES = tests/unit/lifecycle-doc.c
tests_unit_lifecycle_doc_LDADD = src/lib/libqmcore.la
EXTRA_DIST += doc/lifecycle.dot doc/lifecycle.md

.PHONY: update-lifecycle-doc
update-lifecycle-doc: tests/unit/lifecycle-doc
	tests/unit/lifecycle-doc md >$(srcdir)/doc/lifecycle.md
	tests/unit/lifecycle-doc dot >$(srcdir)/doc/lifecycle.dot

check_PROGRAMS += tests/unit/disk_note_test
TESTS += tests/unit/disk_note_test
tests_unit_disk_note_test_LDADD = \
	src/lib/libqmcore.la $(CMOCKA_LIBS) $(LIBISCSI_LIBS)

check_PROGRAMS += tests/unit/lun_sense_test
TESTS += tests/unit/lun_sense_test
tests_unit_lun_sense_test_LDADD = \
	src/lib/libqmcore.la $(CMOCKA_LIBS) $(LIBISCSI_LIBS)

check_PROGRAMS += tests/unit/reservation_key_test
TESTS += tests/unit/reservation_key_test
tests_unit_reservation_key_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vault_format_codec_test
TESTS += tests/unit/vault_format_codec_test
tests_unit_vault_format_codec_test_LDADD = \
	src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/iscsi_wire_test
TESTS += tests/unit/iscsi_wire_test
tests_unit_iscsi_wire_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/eligible_test
TESTS += tests/unit/eligible_test
tests_unit_eligible_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/cpu_test
TESTS += tests/unit/cpu_test
tests_unit_cpu_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/netmap_test
TESTS += tests/unit/netmap_test
tests_unit_netmap_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/rating_test
TESTS += tests/unit/rating_test
tests_unit_rating_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)
