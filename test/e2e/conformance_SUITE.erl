%% @doc dist_core's cases from this release, each a case of its own. releases_SUITE runs them from
%% others.
-module(conformance_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() -> dist_core:cases() ++ [the_connection_was_never_lost].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_conformance),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% dist_core's functions are this suite's: a case is called by its name.
'$handle_undefined_function'(Case, [Config]) ->
    ?assertEqual(ok, dist_core:run_case(Case, proplists:get_value(node, Config))).
