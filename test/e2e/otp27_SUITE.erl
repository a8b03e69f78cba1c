%% @doc The smoke from OTP 27: a real node of that release, in the folder that scripts/setup made by
%% debootstrap, calls a real worker and runs the front.
-module(otp27_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() -> [it_is_otp_27, every_way_to_call, front].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_otp27),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% Evaluates Code in a fresh OTP 27 node with our cookie; what it returns, as a term.
eval(Code) ->
    Root = filename:join([e2e:root(), ".deps", "otp27"]),
    Wrapped = lists:flatten(["io:format(\"RESULT~n~0p.~n\", [begin ", Code, " end]), halt(0)."]),
    Name = e2e:unique(otp27) ++ "@127.0.0.1",
    {0, Output} = e2e:run("chroot", [Root, "erl", "-name", Name, "-setcookie",
                                     atom_to_list(erlang:get_cookie()), "-noinput", "-kernel",
                                     "inet_dist_use_interface", "{127,0,0,1}", "-eval", Wrapped]),
    [_, Result] = string:split(unicode:characters_to_list(Output), "RESULT\n"),
    {ok, Tokens, _} = erl_scan:string(Result),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

it_is_otp_27(_) -> ?assertEqual("27", eval("erlang:system_info(otp_release)")).

every_way_to_call(Config) ->
    Node = proplists:get_value(node, Config),
    #{embeddings := [Vector]} = rpc:call(Node, ml_worker, encode, [[<<"from 27">>], default]),
    Calls = io_lib:format(
        "N = '~s', A = [[<<\"from 27\">>], default],"
        "pong = net_adm:ping(N),"
        "#{embeddings := [V]} = rpc:call(N, ml_worker, encode, A),"
        "#{embeddings := [V]} = rpc:call(N, ml_worker, encode, A, 5000),"
        "#{embeddings := [V]} = rpc:block_call(N, ml_worker, encode, A),"
        "#{embeddings := [V]} = rpc:yield(rpc:async_call(N, ml_worker, encode, A)),"
        "{[#{embeddings := [V]}], []} = rpc:multicall([N], ml_worker, encode, A),"
        "#{embeddings := [V]} = erpc:call(N, ml_worker, encode, A),"
        "#{embeddings := [V]} = erpc:receive_response(erpc:send_request(N, ml_worker, encode, A)),"
        "true = rpc:cast(N, ml_worker, encode, A),"
        "{badrpc, {'EXIT', {{bad_argument, texts, _}, _}}} = rpc:call(N, ml_worker, encode, [x, default]),"
        "{badrpc, {'EXIT', {undef, _}}} = rpc:call(N, os, cmd, [\"id\"]),"
        "pong = net_adm:ping(N), V", [Node]),
    ?assertEqual(Vector, eval(Calls)).

%% The front runs there as it does here: its JSON is then OTP's own.
front(Config) ->
    Node = proplists:get_value(node, Config),
    Root = filename:join([e2e:root(), ".deps", "otp27"]),
    Beams = filename:join([Root, "tmp", e2e:unique(ml_cluster), "ebin"]),
    ok = filelib:ensure_path(Beams),
    _ = os:cmd(lists:concat(["cp ", filename:dirname(code:which(ml_cluster)), "/* ", Beams])),
    Port = e2e:free_port(),
    Inside = string:prefix(Beams, Root),
    Result = eval(io_lib:format(
        "code:add_path(\"~s\"), {ok, _} = application:ensure_all_started(inets),"
        "application:load(ml_cluster),"
        "application:set_env(ml_cluster, workers, ['~s']),"
        "application:set_env(ml_cluster, http, #{port => ~b}),"
        "{ok, _} = application:ensure_all_started(ml_cluster),"
        "Up = fun F(0) -> never; F(I) -> case ml_cluster:workers() of [#{state := up}] -> ok;"
        " _ -> timer:sleep(100), F(I - 1) end end, ok = Up(300),"
        "{ok, {{_, 200, _}, _, Body}} = httpc:request(post,"
        " {\"http://127.0.0.1:~b/infer\", [], \"application/json\", <<\"{\\\"texts\\\":[\\\"from 27\\\"]}\">>},"
        " [{ssl, []}], [{body_format, binary}]),"
        "#{<<\"embeddings\">> := [V]} = json:decode(Body), V", [Inside, Node, Port, Port])),
    [Vector] = maps:get(embeddings, rpc:call(Node, ml_worker, encode, [[<<"from 27">>], default])),
    ?assertEqual(Vector, Result),
    _ = os:cmd("rm -rf " ++ filename:dirname(Beams)).
