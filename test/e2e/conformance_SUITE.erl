%% @doc dist_core's cases from this release, each a case of its own. releases_SUITE runs them from
%% others.
-module(conformance_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() -> dist_core:cases().

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_conformance),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

ping(Config) -> core(Config, ?FUNCTION_NAME).
ping_again_and_again(Config) -> core(Config, ?FUNCTION_NAME).
hidden_node(Config) -> core(Config, ?FUNCTION_NAME).
monitor_node(Config) -> core(Config, ?FUNCTION_NAME).
rpc_call(Config) -> core(Config, ?FUNCTION_NAME).
rpc_errors(Config) -> core(Config, ?FUNCTION_NAME).
rpc_async(Config) -> core(Config, ?FUNCTION_NAME).
rpc_multicall(Config) -> core(Config, ?FUNCTION_NAME).
rpc_cast(Config) -> core(Config, ?FUNCTION_NAME).
rpc_block_call(Config) -> core(Config, ?FUNCTION_NAME).
rpc_timeout(Config) -> core(Config, ?FUNCTION_NAME).
erpc_call(Config) -> core(Config, ?FUNCTION_NAME).
erpc_errors(Config) -> core(Config, ?FUNCTION_NAME).
erpc_timeout(Config) -> core(Config, ?FUNCTION_NAME).
erpc_requests(Config) -> core(Config, ?FUNCTION_NAME).
erpc_multicall(Config) -> core(Config, ?FUNCTION_NAME).
erpc_multicall_timeout(Config) -> core(Config, ?FUNCTION_NAME).
erpc_cast(Config) -> core(Config, ?FUNCTION_NAME).
spawn_4(Config) -> core(Config, ?FUNCTION_NAME).
spawn_monitor_4(Config) -> core(Config, ?FUNCTION_NAME).
spawn_link_4(Config) -> core(Config, ?FUNCTION_NAME).
spawn_request_replies(Config) -> core(Config, ?FUNCTION_NAME).
spawn_monitor_tag(Config) -> core(Config, ?FUNCTION_NAME).
spawn_opt_link_and_monitor(Config) -> core(Config, ?FUNCTION_NAME).
monitor_of_a_name(Config) -> core(Config, ?FUNCTION_NAME).
monitor_of_a_dead_pid(Config) -> core(Config, ?FUNCTION_NAME).
monitor_of_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
demonitor_of_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
many_monitors(Config) -> core(Config, ?FUNCTION_NAME).
link_to_a_dead_pid(Config) -> core(Config, ?FUNCTION_NAME).
link_to_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
unlink_of_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
exit_signals(Config) -> core(Config, ?FUNCTION_NAME).
exit_normal_is_ignored(Config) -> core(Config, ?FUNCTION_NAME).
a_linked_caller_ends_its_call(Config) -> core(Config, ?FUNCTION_NAME).
sends_are_dropped(Config) -> core(Config, ?FUNCTION_NAME).
group_leaders(Config) -> core(Config, ?FUNCTION_NAME).
seq_trace_tokens(Config) -> core(Config, ?FUNCTION_NAME).
every_kind_of_term(Config) -> core(Config, ?FUNCTION_NAME).
terms_of_every_size(Config) -> core(Config, ?FUNCTION_NAME).
order_of_answers(Config) -> core(Config, ?FUNCTION_NAME).
many_callers(Config) -> core(Config, ?FUNCTION_NAME).
reconnects(Config) -> core(Config, ?FUNCTION_NAME).

core(Config, Case) -> ?assertEqual(ok, dist_core:run_case(Case, proplists:get_value(node, Config))).
