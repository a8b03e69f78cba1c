%% @doc The front with real workers: what HTTP clients and Erlang callers see, while workers come,
%% go and are killed.
-module(front_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        infer, infer_twice_is_cached, infer_is_rpc, parallel_keeps_the_order, cluster, metrics,
        tei_tokenize, requests_are_found_in_the_log, health, erlang_api, errors, non_ascii, many_clients, deadline, a_pinged_worker_is_found,
        a_joining_worker_is_found, killed_during_calls, stopped_during_calls, drained_during_calls,
        comes_back_after_restart, no_workers, local_worker
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_front),
    {ok, _} = application:ensure_all_started(inets),
    ok = httpc:set_options([{max_sessions, 200}, {max_keep_alive_length, 100}]),
    Workers = [e2e:start_worker(worker), e2e:start_worker(worker)],
    Nodes = [e2e:node_of(W) || W <- Workers],
    Front = start_front([{workers, Nodes}]),
    ok = await_up(Front, 2),
    [{workers, Workers}, {nodes, Nodes}, {front, Front} | Config].

end_per_suite(Config) ->
    stop_front(proplists:get_value(front, Config)),
    [ok = e2e:stop(W) || W <- proplists:get_value(workers, Config)],
    e2e:stop_distribution().

%% A node of its own with the application in it.
start_front(Environment) ->
    Port = e2e:free_port(),
    {_, Node} = Peer = e2e:start_front([{http, #{port => Port}} | Environment]),
    #{peer => Peer, node => Node, port => Port}.

stop_front(#{peer := Peer}) -> e2e:stop_peer(Peer).

await_up(#{node := Node}, Count) ->
    e2e:eventually(fun() ->
        Count =:= length([W || #{state := up} = W <- rpc:call(Node, ml_cluster, workers, [])])
    end, 30000).

%% ---- HTTP ----------------------------------------------------------------------------------------

request(Front, Method, Path) -> request(Front, Method, Path, []).

request(#{port := Port}, Method, Path, Headers) ->
    answer(httpc:request(Method, {url(Port, Path), Headers}, [{timeout, 60000}], [{body_format, binary}])).

post(Front, Path, Body) -> post(Front, Path, Body, []).

post(#{port := Port}, Path, Body, Headers) ->
    Sent = case is_binary(Body) of true -> Body; false -> jiffy:encode(Body) end,
    answer(httpc:request(post, {url(Port, Path), Headers, "application/json", Sent},
                         [{timeout, 60000}], [{body_format, binary}])).

url(Port, Path) -> lists:concat(["http://127.0.0.1:", Port, Path]).

answer({ok, {{_, Status, _}, Headers, Body}}) ->
    {Status, decoded(proplists:get_value("content-type", Headers, ""), Body), Headers}.

decoded("application/json" ++ _, Body) -> jiffy:decode(Body, [return_maps]);
decoded(_, Body) -> Body.

front(Config) -> proplists:get_value(front, Config).
texts(Count) ->
    Salt = integer_to_binary(erlang:unique_integer([positive])),
    [<<Salt/binary, " ", (integer_to_binary(N))/binary>> || N <- lists:seq(1, Count)].

infer(Config) ->
    {200, Body, _} = post(front(Config), "/infer", #{texts => [<<"hello world">>]}),
    #{<<"embeddings">> := [Vector], <<"node">> := Node, <<"cached">> := Cached} = Body,
    ?assertEqual(384, length(Vector)),
    ?assert(is_integer(Cached)),
    ?assert(lists:member(binary_to_atom(Node), proplists:get_value(nodes, Config))),
    {200, #{<<"embeddings">> := []}, _} = post(front(Config), "/infer", #{texts => []}).

infer_twice_is_cached(Config) ->
    [Text] = texts(1),
    Ask = fun() ->
        {200, #{<<"cached">> := C}, _} = post(front(Config), "/infer", #{texts => [Text], model => <<"default">>}),
        C
    end,
    %% Round robin: each of the two workers has it after two.
    ?assertEqual([0, 0, 1, 1], [Ask() || _ <- lists:seq(1, 4)]).

infer_is_rpc(Config) ->
    Texts = texts(5),
    [Node | _] = proplists:get_value(nodes, Config),
    #{embeddings := Vectors} = rpc:call(Node, ml_worker, encode, [Texts, default]),
    {200, #{<<"embeddings">> := Got}, _} = post(front(Config), "/infer", #{texts => Texts}),
    ?assertEqual(Vectors, Got).

parallel_keeps_the_order(Config) ->
    Texts = texts(101),
    [Node | _] = proplists:get_value(nodes, Config),
    #{embeddings := Vectors} = rpc:call(Node, ml_worker, encode, [Texts, default]),
    {200, Body, _} = post(front(Config), "/infer/parallel", #{texts => Texts}),
    #{<<"embeddings">> := Got, <<"nodes_used">> := Used} = Body,
    ?assertEqual(Vectors, Got),
    ?assertEqual(2, Used).

cluster(Config) ->
    {200, Body, _} = request(front(Config), get, "/cluster"),
    #{<<"this_node">> := This, <<"gpu_nodes">> := Workers, <<"total_nodes">> := Total} = Body,
    ?assertEqual(atom_to_binary(maps:get(node, front(Config))), This),
    ?assert(Total >= 2),
    ?assertEqual(lists:sort([atom_to_binary(N) || N <- proplists:get_value(nodes, Config)]),
                 lists:sort([N || #{<<"node">> := N} <- Workers])),
    [?assertMatch(#{<<"status">> := <<"online">>,
                    <<"model">> := #{<<"loaded_models">> := [<<"all-MiniLM-L6-v2">>]},
                    <<"memory">> := #{}, <<"cache">> := #{<<"hits">> := _}}, W) || W <- Workers].

metrics(Config) ->
    Total = fun() ->
        {200, Body, _} = request(front(Config), get, "/metrics"),
        #{<<"requests">> := #{<<"total">> := T, <<"distributed">> := D, <<"local_fallback">> := L},
          <<"cluster">> := #{<<"nodes">> := 2, <<"node_selector_count">> := S}} = Body,
        {T, D, L, S}
    end,
    {T1, D1, L1, S1} = Total(),
    {200, _, _} = post(front(Config), "/infer", #{texts => [<<"counted">>]}),
    {T2, D2, L2, S2} = Total(),
    ?assertEqual({1, 1, 0}, {T2 - T1, D2 - D1, L2 - L1}),
    ?assert(S2 > S1).

%% As Hugging Face's tokenizers tell it: offsets in bytes, of a letter with its accent the two of it.
tei_tokenize(Config) ->
    Token = fun(Id, Text, Start, Stop) ->
        #{<<"id">> => Id, <<"text">> => Text, <<"special">> => Start =:= null,
          <<"start">> => Start, <<"stop">> => Stop}
    end,
    Text = <<"Hello, wörld"/utf8>>,
    {200, [Tokens], _} = post(front(Config), "/tokenize", #{inputs => Text}),
    ?assertEqual(
        [Token(101, <<"[CLS]">>, null, null), Token(7592, <<"Hello">>, 0, 5), Token(1010, <<",">>, 5, 6),
         Token(2088, <<"wörld"/utf8>>, 7, 13), Token(102, <<"[SEP]">>, null, null)], Tokens),
    {200, [Inner], _} = post(front(Config), "/tokenize", #{inputs => [Text], add_special_tokens => false}),
    ?assertEqual(lists:sublist(Tokens, 2, 3), Inner),
    %% What is longer than the model's limit is not cut.
    {200, [Long], _} = post(front(Config), "/tokenize", #{inputs => binary:copy(<<"a ">>, 1000)}),
    ?assertEqual(1002, length(Long)).

%% What a client calls its request stands in the log of the worker that answered it.
requests_are_found_in_the_log(_) ->
    Worker = e2e:start_worker(worker, ["--log-level", "debug", "--log-format", "json"]),
    Front = start_front([{workers, [e2e:node_of(Worker)]}]),
    ok = await_up(Front, 1),
    Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    Headers = [{"x-request-id", "order-4711"}, {"traceparent", Parent}],
    {200, _, _} = post(Front, "/infer", #{texts => [<<"a traced text">>]}, Headers),
    Line = iolist_to_binary(["\"a traced call was answered\",\"trace\":\"order-4711 ", Parent, "\""]),
    ok = e2e:await_log(Worker, Line, 10000),
    {404, _, _} = post(Front, "/infer", #{texts => [<<"a">>], model => <<"nope">>}, [{"x-request-id", "no-2"}]),
    ok = e2e:await_log(Worker, <<"\"a traced call failed\",\"trace\":\"no-2\",\"reason\":\"unknown_model\"">>, 10000),
    %% Nothing that could be taken for a line of the log's own gets into it, not past a front either.
    Forged = #{trace => <<"x\n{\"level\":\"error\"}">>},
    ?assertError({exception, {bad_argument, trace, _}, _},
                 erpc:call(e2e:node_of(Worker), ml_worker, encode, [[<<"a">>], default, Forged])),
    {200, _, _} = post(Front, "/infer", #{texts => [<<"b">>]}, [{"x-request-id", "a\"b c"}]),
    ?assertEqual(nomatch, binary:match(e2e:log(Worker), [<<"a traced text">>, <<"x\n{">>, <<"a\\\"b">>])),
    stop_front(Front),
    ok = e2e:stop(Worker).

health(Config) -> ?assertMatch({200, _, _}, request(front(Config), get, "/health")).

erlang_api(Config) ->
    #{node := Front} = front(Config),
    [Node | _] = proplists:get_value(nodes, Config),
    Texts = texts(3),
    #{embeddings := Vectors} = rpc:call(Node, ml_worker, encode, [Texts, default]),
    {ok, #{embeddings := Got, cached := _, nodes := [_ | _]}} =
        rpc:call(Front, ml_cluster, encode, [Texts, default]),
    ?assertEqual(Vectors, Got),
    ?assertEqual({ok, hd(Vectors)}, rpc:call(Front, ml_cluster, predict, [hd(Texts), default])),
    ?assertMatch({error, {unknown_model, <<"nope">>}}, rpc:call(Front, ml_cluster, encode, [Texts, nope])),
    ?assertMatch({error, {bad_argument, texts, _}}, rpc:call(Front, ml_cluster, encode, [5, default])).

errors(Config) ->
    Front = front(Config),
    Expect = fun(Status, {Got, Body, _}) ->
        ?assertEqual({Status, Body}, {Got, Body}),
        ?assertMatch(#{<<"error">> := #{<<"message">> := _, <<"reason">> := _}}, Body)
    end,
    Expect(400, post(Front, "/infer", <<"{">>)),
    Expect(400, post(Front, "/infer", <<"{\"texts\": [\"", 255, "\"]}">>)),
    Expect(422, post(Front, "/infer", #{})),
    Expect(422, post(Front, "/infer", #{texts => <<"bare">>})),
    Expect(422, post(Front, "/infer", #{texts => [1]})),
    Expect(422, post(Front, "/infer", #{texts => [], colour => 1})),
    Expect(422, post(Front, "/infer", #{texts => [], model => 5})),
    Expect(404, post(Front, "/infer", #{texts => [<<"a">>], model => <<"nope">>})),
    Expect(404, post(Front, "/nowhere", #{})),
    Expect(405, request(Front, get, "/infer")),
    Expect(413, post(Front, "/infer", #{texts => [binary:copy(<<"x">>, 2000000)]})),
    {200, _, _} = post(Front, "/infer", #{texts => [<<"still here">>]}).

non_ascii(Config) ->
    [Node | _] = proplists:get_value(nodes, Config),
    Text = <<"Übergröße 日本語 👩‍👩‍👧"/utf8>>,
    Expected = rpc:call(Node, ml_worker, predict, [Text, default]),
    {200, #{<<"embeddings">> := [Raw]}, _} = post(front(Config), "/infer", #{texts => [Text]}),
    {200, #{<<"embeddings">> := [Escaped]}, _} =
        post(front(Config), "/infer", jiffy:encode(#{texts => [Text]}, [uescape])),
    ?assertEqual([Expected, Expected], [Raw, Escaped]).

many_clients(Config) ->
    ok = load(front(Config), 32, 10, fun() -> ok end).

deadline(Config) ->
    {504, #{<<"error">> := _}, _} =
        post(front(Config), "/infer", #{texts => texts(3000)}, [{"x-timeout-ms", "50"}]).

%% ---- Coming and going ----------------------------------------------------------------------------

a_pinged_worker_is_found(_) ->
    Front = start_front([]),
    Worker = e2e:start_worker(gpu),
    pong = rpc:call(maps:get(node, Front), net_adm, ping, [e2e:node_of(Worker)]),
    ok = await_up(Front, 1),
    {200, #{<<"embeddings">> := [_]}, _} = post(Front, "/infer", #{texts => [<<"found">>]}),
    ok = e2e:stop(Worker),
    stop_front(Front).

a_joining_worker_is_found(_) ->
    Front = start_front([]),
    Worker = e2e:start_worker(worker, ["--join", atom_to_list(maps:get(node, Front))]),
    ok = await_up(Front, 1),
    ok = e2e:stop(Worker),
    stop_front(Front).

%% Three workers under load, one of them gets Signal: no request fails, all answers are right.
killed_during_calls(_) -> signalled_during_calls("KILL").
stopped_during_calls(_) -> signalled_during_calls("STOP").
drained_during_calls(_) -> signalled_during_calls("TERM").

signalled_during_calls(Signal) ->
    Workers = [e2e:start_worker(worker) || _ <- lists:seq(1, 2)],
    Front = start_front([{workers, [e2e:node_of(W) || W <- Workers]}]),
    ok = await_up(Front, 2),
    ok = load(Front, 16, 15, fun() -> _ = e2e:signal(hd(Workers), Signal), ok end),
    stop_front(Front),
    [ok = e2e:stop(W) || W <- Workers].

%% Clients in parallel, each with a few requests of new texts; Event happens in the middle. Every
%% request must be answered by 200 with the vector that the first worker to see the text gives.
load(#{node := Node} = Front, Clients, Requests, Event) ->
    Parent = self(),
    Pids = [spawn_link(fun() -> Parent ! {self(), client(Front, Parent, Requests)} end)
            || _ <- lists:seq(1, Clients)],
    [receive half_way -> ok end || _ <- Pids],
    Event(),
    Answers = lists:append([receive {Pid, Got} -> Got end || Pid <- Pids]),
    Sample = lists:sublist(Answers, 50),
    {ok, #{embeddings := Expected}} =
        rpc:call(Node, ml_cluster, encode, [[T || {T, _} <- Sample], default]),
    ?assertEqual(Expected, [V || {_, V} <- Sample]),
    ok.

client(Front, Parent, Requests) ->
    lists:append([begin
        N =:= Requests div 2 andalso (Parent ! half_way),
        Texts = texts(2),
        {200, #{<<"embeddings">> := Vectors}, _} = post(Front, "/infer", #{texts => Texts}),
        lists:zip(Texts, Vectors)
     end || N <- lists:seq(1, Requests)]).

comes_back_after_restart(_) ->
    First = e2e:start_worker(worker),
    Front = start_front([{workers, [e2e:node_of(First)]}]),
    ok = await_up(Front, 1),
    ok = e2e:stop(First),
    ok = await_up(Front, 0),
    Second = e2e:start_worker_as(e2e:node_of(First), []),
    ok = await_up(Front, 1),
    {200, _, _} = post(Front, "/infer", #{texts => [<<"back">>]}),
    ok = e2e:stop(Second),
    stop_front(Front).

no_workers(_) ->
    Front = start_front([]),
    {503, #{<<"error">> := #{<<"reason">> := _}}, _} = post(Front, "/infer", #{texts => [<<"a">>]}),
    {503, _, _} = post(Front, "/infer/parallel", #{texts => [<<"a">>]}),
    ?assertEqual({error, no_workers},
                 rpc:call(maps:get(node, Front), ml_cluster, encode, [[<<"a">>], default])),
    stop_front(Front).

%% The embedded default: the front starts a worker of its own, and starts it again when it dies.
local_worker(_) ->
    Program = filename:join([e2e:root(), "build", "ml_worker"]),
    Front = start_front([{local_worker, #{program => Program, args => ["--listen", "127.0.0.1"]}}]),
    Infer = fun() ->
        case post(Front, "/infer", #{texts => texts(1)}) of
            {200, #{<<"embeddings">> := [_]}, _} -> true;
            {503, _, _} -> false
        end
    end,
    ok = e2e:eventually(Infer, 60000),
    {200, #{<<"requests">> := #{<<"local_fallback">> := Count}}, _} = request(Front, get, "/metrics"),
    ?assert(Count >= 1),
    [Pid] = local_pids(Front),
    _ = os:cmd("kill -9 " ++ Pid),
    ok = e2e:eventually(fun() -> local_pids(Front) =/= [Pid] andalso Infer() end, 60000),
    [Second] = local_pids(Front),
    stop_front(Front),
    ok = e2e:eventually(fun() -> not filelib:is_dir("/proc/" ++ Second) end, 30000).

local_pids(#{node := Node}) ->
    string:lexemes(os:cmd(lists:concat(["pgrep -f '", "ml_worker.*", front_host(Node), "'"])), "\n").

front_host(Node) -> hd(string:split(atom_to_list(Node), "@")).
