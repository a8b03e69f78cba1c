-module(ml_cluster_log_tests).
-include_lib("eunit/include/eunit.hrl").
-export([log/2]).

log(Event, #{config := #{test := Test}}) -> Test ! {logged, Event}, ok.

%% A report for handlers that write maps, a line for those that write text.
reports_have_a_text_test() ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    ok = ml_cluster_log:write(error, worker_resting, #{node => w@h, reason => silent}),
    ok = logger:remove_handler(?MODULE),
    receive
        {logged, #{level := Level, msg := {report, Report}, meta := Meta} = Event} ->
            ?assertEqual(error, Level),
            ?assertEqual(#{what => worker_resting, node => w@h, reason => silent}, Report),
            ?assertMatch(#{application := ml_cluster}, Meta),
            ?assertEqual(
                "ml_cluster: worker w@h rests: silent",
                lists:flatten(logger_formatter:format(Event, #{template => [msg]}))
            )
    after 1000 -> error(nothing_logged)
    end.

%% OTP's default handler drops events with a domain that is not its own.
no_domain_keeps_the_default_handler_from_writing_test() ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    ok = ml_cluster_log:write(error, no_http, #{why => <<"x">>}),
    ok = logger:remove_handler(?MODULE),
    receive
        {logged, #{meta := Meta}} -> ?assertNot(is_map_key(domain, Meta))
    after 1000 -> error(nothing_logged)
    end.
