-module(ml_cluster_event_tests).
-include_lib("eunit/include/eunit.hrl").
-export([tell/3, log/2]).

tell(Name, Measurements, Metadata) -> self() ! {event, Name, Measurements, Metadata}.

%% A handler of logger's, told to the process that runs the test.
log(#{msg := {report, Report}}, #{config := #{test := Test}}) -> Test ! {logged, Report}, ok;
log(_, _) -> ok.

emit(Handler) ->
    {ok, Config} = ml_cluster_config:check([{events, Handler}]),
    ok = ml_cluster_config:install(Config),
    try
        ml_cluster_event:emit([call, stop], #{duration => 1}, #{function => encode})
    after
        ml_cluster_config:uninstall()
    end.

heard() ->
    receive
        {event, Name, Measurements, Metadata} -> {Name, Measurements, Metadata}
    after 0 -> nothing
    end.

handlers_hear_events_test_() ->
    [
        fun() ->
            ?assertEqual(ok, emit(Handler)),
            ?assertEqual(Expected, heard())
        end
     || {Handler, Expected} <- [
            {none, nothing},
            {{?MODULE, tell}, event()},
            {fun ?MODULE:tell/3, event()}
        ]
    ].

event() -> {[ml_cluster, call, stop], #{duration => 1}, #{function => encode}}.

without_a_front_nobody_hears_test() ->
    ?assertEqual(ok, ml_cluster_event:emit([call, stop], #{}, #{})),
    ?assertEqual(nothing, heard()).

%% However often it fails it is logged once, and whoever emits goes on.
a_handler_that_fails_harms_nobody_test() ->
    ok = ml_cluster_metrics:init(),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    Fail = fun(_, _, _) -> error(broken) end,
    Exit = fun(_, _, _) -> exit(broken) end,
    Throw = fun(_, _, _) -> throw(broken) end,
    ?assertEqual([ok, ok, ok], [emit(Handler) || Handler <- [Fail, Exit, Throw]]),
    ok = logger:remove_handler(?MODULE),
    ?assertMatch(
        [#{what := event_handler_failed, event := [ml_cluster, call, stop], reason := broken}],
        logged()
    ).

logged() ->
    receive
        {logged, #{what := event_handler_failed} = Report} -> [Report | logged()]
    after 0 -> []
    end.
