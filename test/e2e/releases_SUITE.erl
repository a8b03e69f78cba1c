%% @doc The smoke from later OTPs: a real node of each release, in the folder that scripts/setup made
%% by debootstrap, calls a real worker and runs the front.
-module(releases_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() -> [{group, Release} || Release <- e2e:later_releases()].

groups() ->
    [{Release, [], [it_is_that_release, every_way_to_call, conformance, front]} ||
     Release <- e2e:later_releases()].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_releases),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

init_per_group(Release, Config) -> [{release, Release} | Config].
end_per_group(_, _) -> ok.

root(Config) ->
    filename:join([e2e:root(), ".deps", proplists:get_value(release, Config)]).

%% Evaluates Code in a fresh node of the release with our cookie; what it returns, as a term.
eval(Config, Code) ->
    Root = root(Config),
    Wrapped = lists:flatten(["io:format(\"RESULT~n~0p.~n\", [begin ", Code, " end]), halt(0)."]),
    Name = e2e:unique(proplists:get_value(release, Config)) ++ "@127.0.0.1",
    {0, Output} = e2e:run("chroot", [Root, "erl", "-name", Name, "-setcookie",
                                     atom_to_list(erlang:get_cookie()), "-noinput", "-kernel",
                                     "inet_dist_use_interface", "{127,0,0,1}", "-eval", Wrapped]),
    [_, Result] = string:split(unicode:characters_to_list(Output), "RESULT\n"),
    {ok, Tokens, _} = erl_scan:string(Result),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

it_is_that_release(Config) ->
    "otp" ++ Number = atom_to_list(proplists:get_value(release, Config)),
    ?assertEqual(Number, eval(Config, "erlang:system_info(otp_release)")).

%% The same cases as conformance_SUITE runs from this release, in a node of that one.
conformance(Config) ->
    Folder = filename:join([root(Config), "tmp", e2e:unique(dist_core)]),
    ok = filelib:ensure_path(Folder),
    {ok, _} = file:copy(code:which(dist_core), filename:join(Folder, "dist_core.beam")),
    Results = eval(Config, io_lib:format(
        "code:add_path(\"~s\"), [{C, R} || {C, R} <- dist_core:run('~s'), R =/= ok]",
        [string:prefix(Folder, root(Config)), proplists:get_value(node, Config)])),
    ok = file:del_dir_r(Folder),
    ?assertEqual([], Results).

every_way_to_call(Config) ->
    Node = proplists:get_value(node, Config),
    #{embeddings := [Vector]} = rpc:call(Node, ml_worker, encode, [[<<"from a later release">>], default]),
    Calls = io_lib:format(
        "N = '~s', A = [[<<\"from a later release\">>], default],"
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
    ?assertEqual(Vector, eval(Config, Calls)).

%% The front runs there as it does here, compiled by that release (OTP 29 does not load what OTP 25
%% has compiled): its JSON is then OTP's own.
front(Config) ->
    Node = proplists:get_value(node, Config),
    {Folder, Inside} = compiled_front(root(Config)),
    Port = e2e:free_port(),
    Result = eval(Config, io_lib:format(
        "code:add_path(\"~s\"), {ok, _} = application:ensure_all_started(inets),"
        "application:load(ml_cluster),"
        "application:set_env(ml_cluster, workers, ['~s']),"
        "application:set_env(ml_cluster, http, #{port => ~b}),"
        "{ok, _} = application:ensure_all_started(ml_cluster),"
        "Up = fun F(0) -> never; F(I) -> case ml_cluster:workers() of [#{state := up}] -> ok;"
        " _ -> timer:sleep(100), F(I - 1) end end, ok = Up(300),"
        "{ok, {{_, 200, _}, _, Body}} = httpc:request(post,"
        " {\"http://127.0.0.1:~b/infer\", [], \"application/json\", <<\"{\\\"texts\\\":[\\\"from a later release\\\"]}\">>},"
        " [{ssl, []}], [{body_format, binary}]),"
        "#{<<\"embeddings\">> := [V]} = json:decode(Body), V", [Inside, Node, Port, Port])),
    [Vector] = maps:get(embeddings, rpc:call(Node, ml_worker, encode, [[<<"from a later release">>], default])),
    ?assertEqual(Vector, Result),
    _ = os:cmd("rm -rf " ++ Folder).

%% The application in a folder below Root: that folder, and its ebin as seen from inside.
compiled_front(Root) ->
    Inside = "/tmp/" ++ e2e:unique(ml_cluster),
    Folder = Root ++ Inside,
    ok = filelib:ensure_path(filename:join(Folder, "ebin")),
    Sources = filename:join([e2e:root(), "erlang", "src"]),
    Beams = filename:dirname(code:which(ml_cluster)),
    "" = os:cmd(lists:concat(["cp -r ", Sources, " ", Beams, "/ml_cluster.app ", Folder])),
    ok = file:rename(filename:join(Folder, "ml_cluster.app"),
                     filename:join([Folder, "ebin", "ml_cluster.app"])),
    %% Twice: a behaviour must be there before the modules that follow it.
    Compile = " erlc +debug_info -pa ebin -o ebin ",
    {0, <<>>} = e2e:run("chroot", [Root, "sh", "-c", "cd " ++ Inside ++ " && " ++ Compile ++
                                   "src/*.erl >first.log 2>&1 && " ++ Compile ++ "-Werror src/*.erl"]),
    {Folder, filename:join(Inside, "ebin")}.
