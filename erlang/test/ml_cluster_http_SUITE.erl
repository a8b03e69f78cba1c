%% The front's HTTP face over real sockets, and the local worker, against nodes that play the worker.
-module(ml_cluster_http_SUITE).
-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

-import(ml_cluster_test_nodes, [until/1, behave/2]).

all() ->
    [
        infer_answers_as_the_contract_says,
        parallel_answers_in_order,
        cluster_shows_online_and_offline,
        metrics_as_json_and_as_text,
        health_follows_the_workers,
        wrong_requests_get_their_status,
        workers_failures_get_their_status,
        hostile_framing_is_refused,
        bytes_that_are_no_text_are_answered,
        a_crash_says_nothing_of_what_was_sent,
        hostile_requests_cost_little,
        chunks_of_a_byte_cost_little,
        values_without_end_cost_little,
        a_slow_body_is_cut,
        a_slow_head_is_cut,
        a_number_of_a_million_digits_costs_nothing,
        a_response_to_a_body_too_large_arrives,
        a_body_too_large_is_not_asked_for,
        a_request_has_its_time_from_its_head_on,
        a_front_that_stops_answers_who_comes,
        a_chunked_body_is_read,
        pipelined_requests_are_answered_in_order,
        a_client_that_hangs_up_cancels,
        idle_connections_take_little,
        a_client_that_sends_ahead_is_read_so_far,
        who_finds_all_connections_taken_waits,
        keys_guard_all_but_health,
        openai_clients_get_their_dialect,
        tei_clients_get_their_dialect,
        tei_clients_are_served_by_an_older_worker,
        a_trace_goes_to_the_worker,
        texts_stay_out_of_the_log,
        the_description_has_every_route,
        ids_and_origins_come_back,
        options_and_head,
        a_compressed_body_is_refused,
        a_worker_without_formats_is_served,
        a_stream_answers_line_by_line,
        a_stream_is_a_conversation,
        a_stream_holds_back,
        a_stream_that_is_hung_up_is_cancelled,
        a_stream_that_is_not_read_is_cut,
        a_stream_without_workers_is_refused,
        a_stream_with_a_bad_chunk_has_no_end,
        the_local_worker_is_the_last_resort,
        without_http
    ].

suite() -> [{timetrap, {seconds, 60}}].

init_per_suite(Config) ->
    ok = ml_cluster_test_nodes:distribute(),
    [{double, ml_cluster_test_nodes:compile_double(Config)} | Config].

end_per_suite(_) -> application:stop(ml_cluster).

end_per_testcase(_, Config) ->
    _ = logger:remove_handler(?MODULE),
    _ = application:stop(ml_cluster),
    Config.

%% ---- Helpers ----

cluster(Bases, Env, Config) ->
    Peers = [ml_cluster_test_nodes:start(Base, ?config(double, Config)) || Base <- Bases],
    Nodes = [Node || {_, Node} <- Peers],
    {ok, _} = ml_cluster_test_nodes:configure([{workers, Nodes}, {http, #{port => 0}} | Env]),
    until(fun() -> ml_cluster_table:up(remote) =:= lists:sort(Nodes) end),
    Peers.

connect() ->
    {ok, Socket} = gen_tcp:connect(
        {127, 0, 0, 1}, ml_cluster_mochiweb:port(), [binary, {active, false}]
    ),
    Socket.

%% One request on a connection of its own: {Status, Headers, Body}.
request(Method, Path, Headers, Body) ->
    raw([
        Method, " ", Path, " HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
        [[Key, ": ", Value, "\r\n"] || {Key, Value} <- Headers],
        ["content-length: " ++ integer_to_list(iolist_size(Body)) ++ "\r\n" || Method =:= "POST"],
        "\r\n", Body
    ]).

raw(Bytes) ->
    Socket = connect(),
    ok = gen_tcp:send(Socket, Bytes),
    parsed(read_all(Socket, <<>>)).

read_all(Socket, Read) ->
    case gen_tcp:recv(Socket, 0, 10000) of
        {ok, More} -> read_all(Socket, <<Read/binary, More/binary>>);
        {error, _} -> gen_tcp:close(Socket), Read
    end.

parsed(<<>>) -> closed;
parsed(<<"HTTP/1.1 ", Status:3/binary, Rest/binary>>) ->
    [Head, Body] = binary:split(Rest, <<"\r\n\r\n">>),
    Lines = tl(binary:split(Head, <<"\r\n">>, [global])),
    Headers = [
        {string:lowercase(Key), Value}
     || Line <- Lines, [Key, Value] <- [binary:split(Line, <<": ">>)]
    ],
    {binary_to_integer(Status), Headers, Body}.

post(Path, Body) -> post(Path, [], Body).
post(Path, Headers, Body) -> json(request("POST", Path, Headers, Body)).
fetch(Path) -> json(request("GET", Path, [], "")).

json({Status, _, Body}) ->
    {ok, Value} = ml_cluster_json:decode(Body, 1000000),
    {Status, Value}.

reason({Status, #{<<"error">> := #{<<"reason">> := Reason, <<"message">> := Message}}}) when
    is_binary(Message)
->
    {Status, Reason}.

vector(Text) -> [erlang:crc32(Text) / 1.0, byte_size(Text) / 1.0].

same(Expected, Vectors) ->
    ?assertEqual(Expected, [[float(X) || X <- V] || V <- Vectors]).

%% ---- Routes ----

infer_answers_as_the_contract_says(Config) ->
    [{_, Node}] = cluster(["w1"], [], Config),
    {200, Reply} = post("/infer", <<"{\"texts\": [\"a\", \"\\u00e9\", \"ü\"], \"model\": null}"/utf8>>),
    ?assertEqual([<<"cached">>, <<"embeddings">>, <<"node">>], lists:sort(maps:keys(Reply))),
    #{<<"embeddings">> := Vectors, <<"node">> := Name, <<"cached">> := 0} = Reply,
    same([vector(<<"a">>), vector(<<"é"/utf8>>), vector(<<"ü"/utf8>>)], Vectors),
    ?assertEqual(atom_to_binary(Node), Name),
    ?assertMatch({200, #{<<"embeddings">> := []}}, post("/infer", "{\"texts\":[]}")).

parallel_answers_in_order(Config) ->
    [First | _] = cluster(["w1", "w2"], [], Config),
    behave(First, {slow, 200}),
    Texts = [integer_to_binary(I) || I <- lists:seq(1, 50)],
    {200, #{<<"embeddings">> := Vectors, <<"nodes_used">> := 2}} =
        post("/infer/parallel", ml_cluster_json:encode(#{texts => Texts})),
    same([vector(Text) || Text <- Texts], Vectors).

cluster_shows_online_and_offline(Config) ->
    [{_, Up}] = cluster(["w1"], [], Config),
    ok = ml_cluster:add_worker('worker9@127.0.0.1'),
    until(fun() ->
        [resting] =:= [S || #{node := 'worker9@127.0.0.1', state := S} <- ml_cluster:workers()]
    end),
    {200, #{<<"this_node">> := _, <<"total_nodes">> := Total, <<"gpu_nodes">> := Nodes}} =
        fetch("/cluster"),
    ?assert(Total >= 1),
    Name = atom_to_binary(Up),
    ?assertMatch(
        [
            #{<<"node">> := Name, <<"status">> := <<"online">>, <<"model">> := #{},
              <<"memory">> := #{}, <<"cache">> := #{}},
            #{<<"node">> := <<"worker9@127.0.0.1">>, <<"status">> := <<"offline">>, <<"error">> := _}
        ],
        lists:sort(fun(#{<<"status">> := A}, _) -> A =:= <<"online">> end, Nodes)
    ).

metrics_as_json_and_as_text(Config) ->
    _ = cluster(["w1"], [], Config),
    {200, Before} = fetch("/metrics"),
    {200, _} = post("/infer", "{\"texts\":[\"a\"]}"),
    {200, After} = fetch("/metrics"),
    Total = fun(#{<<"requests">> := #{<<"total">> := T}}) -> T end,
    Distributed = fun(#{<<"requests">> := #{<<"distributed">> := D}}) -> D end,
    ?assertEqual(1, Total(After) - Total(Before)),
    ?assertEqual(1, Distributed(After) - Distributed(Before)),
    ?assertMatch(#{<<"cluster">> := #{<<"nodes">> := 1, <<"node_selector_count">> := _}}, After),
    {200, Headers, Text} = request("GET", "/metrics", [{"accept", "text/plain;version=0.0.4"}], ""),
    ?assertMatch({_, <<"text/plain", _/binary>>}, lists:keyfind(<<"content-type">>, 1, Headers)),
    ?assertNotEqual(nomatch, binary:match(Text, <<"ml_cluster_http_request_seconds_bucket{route=\"/infer\",le=\"+Inf\"}">>)).

health_follows_the_workers(Config) ->
    [{_, Node}] = cluster(["w1"], [], Config),
    ?assertMatch({200, #{<<"status">> := <<"ok">>}}, fetch("/health")),
    ok = ml_cluster:remove_worker(Node),
    ?assertMatch({503, #{<<"error">> := _, <<"error_type">> := <<"Unhealthy">>}}, fetch("/health")),
    ?assertEqual({503, <<"no_workers">>}, reason(post("/infer", "{\"texts\":[\"a\"]}"))),
    ?assertEqual({503, <<"no_workers">>}, reason(post("/infer/parallel", "{\"texts\":[]}"))).

wrong_requests_get_their_status(Config) ->
    _ = cluster(["w1"], [{limits, #{body_bytes => 10000, texts => 10}}], Config),
    Deep = [lists:duplicate(100, "["), lists:duplicate(100, "]")],
    [
        ?assertEqual({Body, {Status, Reason}}, {Body, reason(post("/infer", Body))})
     || {Status, Reason, Body} <- [
            {400, <<"malformed">>, ""},
            {400, <<"malformed">>, "{"},
            {400, <<"malformed">>, "{\"texts\":[\"a\"]} x"},
            {400, <<"malformed">>, "[1]"},
            {400, <<"malformed">>, [<<"{\"texts\":[\"">>, 255, <<"\"]}">>]},
            {400, <<"malformed">>, <<"{\"texts\":[\"\\ud800\"]}">>},
            {400, <<"malformed">>, ["{\"texts\":", Deep, "}"]},
            {400, <<"malformed">>, ["{\"texts\":[", lists:duplicate(5000, "9"), "]}"]},
            {400, <<"malformed">>, "{\"texts\":[\"a\"],\"texts\":[\"b\"]}"},
            {422, <<"bad_argument">>, "{}"},
            {422, <<"bad_argument">>, "{\"texts\":\"a\"}"},
            {422, <<"bad_argument">>, "{\"texts\":[1]}"},
            {422, <<"bad_argument">>, "{\"texts\":[\"a\",null]}"},
            {422, <<"bad_argument">>, "{\"texts\":[\"a\"],\"model\":7}"},
            {422, <<"bad_argument">>, "{\"texts\":[\"a\"],\"modle\":\"x\"}"},
            {404, <<"unknown_model">>, "{\"texts\":[\"a\"],\"model\":\"nowhere\"}"},
            {413, <<"too_large">>, ["{\"texts\":[\"", lists:duplicate(20000, "a"), "\"]}"]},
            {413, <<"too_large">>, ["{\"texts\":[", lists:join(",", lists:duplicate(11, "\"a\"")), "]}"]}
        ]
    ],
    ?assertEqual({404, <<"not_found">>}, reason(fetch("/nothing"))),
    ?assertEqual({404, <<"not_found">>}, reason(fetch("/infer/../etc"))),
    {405, Headers, _} = request("GET", "/infer", [], ""),
    ?assertEqual({<<"allow">>, <<"POST, OPTIONS">>}, lists:keyfind(<<"allow">>, 1, Headers)),
    ?assertEqual(
        {400, <<"malformed">>},
        reason(post("/infer", [{"x-timeout-ms", "soon"}], "{\"texts\":[\"a\"]}"))
    ).

workers_failures_get_their_status(Config) ->
    [Peer] = cluster(["w1"], [], Config),
    Body = "{\"texts\":[\"a\"]}",
    behave(Peer, {raise_in, encode, {overloaded, 2500}}),
    {429, Headers, _} = request("POST", "/infer", [], Body),
    ?assertEqual({<<"retry-after">>, <<"3">>}, lists:keyfind(<<"retry-after">>, 1, Headers)),
    behave(Peer, {slow, 5000}),
    ?assertEqual({504, <<"deadline_exceeded">>}, reason(post("/infer", [{"x-timeout-ms", "100"}], Body))),
    behave(Peer, {raise_in, encode, {model_failed, <<"m">>, <<"not finite">>}}),
    ?assertEqual({500, <<"model_failed">>}, reason(post("/infer", Body))),
    behave(Peer, {raise_in, encode, {bad_argument, <<"texts">>, <<"element 1">>}}),
    ?assertEqual({422, <<"bad_argument">>}, reason(post("/infer", Body))),
    behave(Peer, bad_reply),
    ?assertEqual({500, <<"worker_failed">>}, reason(post("/infer", Body))).

%% ---- Sockets ----

hostile_framing_is_refused(Config) ->
    _ = cluster(["w1"], [], Config),
    Head = "POST /infer HTTP/1.1\r\nhost: x\r\n",
    Bad = fun(Rest) -> {Status, _, _} = raw([Head, Rest]), Status end,
    ?assertEqual(400, Bad("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")),
    ?assertEqual(400, Bad("content-length: 5\r\ncontent-length: 6\r\n\r\nhello")),
    ?assertEqual(400, Bad("content-length: -1\r\n\r\n")),
    ?assertEqual(400, Bad("transfer-encoding: gzip\r\n\r\n")),
    ?assertEqual(400, Bad("transfer-encoding: chunked\r\n\r\nzz\r\n")),
    ?assertEqual(400, Bad("transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n")),
    ?assertEqual(413, Bad("transfer-encoding: chunked\r\n\r\nffffffff\r\n")),
    ?assertEqual(413, Bad("content-length: 99999999999\r\n\r\n")),
    ?assertEqual(431, Bad([lists:duplicate(10000, "x: y\r\n"), "\r\n"])),
    {200, _} = fetch("/health").

%% A header may have any byte above 127, and a value that says nothing to us is passed over.
bytes_that_are_no_text_are_answered(Config) ->
    File = filename:join(?config(priv_dir, Config), "keys"),
    ok = file:write_file(File, "a key\n"),
    _ = cluster(["w1"], [{api_keys_file, File}, {http, #{port => 0, cors => ["https://a.example"]}}], Config),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    Key = "authorization: Bearer a key\r\n",
    Lines = fun(Method, Path, Headers) -> [Method, " ", Path, " HTTP/1.1\r\n", Headers] end,
    Get = fun(Path, Headers) -> Lines("GET", Path, [Key, "host: x\r\n", Headers, "connection: close\r\n\r\n"]) end,
    Post = fun(Headers) -> Lines("POST", "/infer", [Key, "host: x\r\nconnection: close\r\n", Headers]) end,
    Body = "\r\n{\"texts\":[\"a secret\"]}",
    [
        ?assertMatch({_, {Status, _, _}}, {What, raw(Bytes)})
     || {What, Status, Bytes} <- [
            {connection, 200, Get("/cluster", ["connection: ", 255, "\r\n"])},
            {expect, 200, Post(["expect: ", 255, "\r\ncontent-length: 22\r\n", Body])},
            {coding, 400, Post(["transfer-encoding: ", 255, "\r\n\r\n0\r\n\r\n"])},
            {length, 400, Post(["content-length: ", 255, "\r\n\r\n"])},
            {encoding, 415, Post(["content-encoding: ", 255, "\r\ncontent-length: 22\r\n", Body])},
            {timeout, 400, Post(["x-timeout-ms: ", 255, "\r\ncontent-length: 22\r\n", Body])},
            {accept, 200, Get("/metrics", ["accept: ", 255, ",text/plain;q=", 255, "\r\n"])},
            {origin, 200, Get("/cluster", ["origin: ", 255, "\r\nx-request-id: ", 255, "\r\ntraceparent: ", 255, "\r\n"])},
            {key, 401, Lines("GET", "/cluster", ["host: x\r\nauthorization: Bearer ", 255, "\r\nconnection: close\r\n\r\n"])},
            {host, 200, Lines("GET", "/health", ["host: ", 255, "\r\nconnection: close\r\n\r\n"])},
            {preflight, 204, Lines("OPTIONS", "/infer", ["host: x\r\norigin: https://a.example\r\n",
                "access-control-request-headers: ", 255, "\r\nconnection: close\r\n\r\n"])},
            {path, 404, Get(["/", 255], [])},
            {model, 404, Get(["/v1/models/", 255], [])},
            {encoded_model, 404, Get("/v1/models/%ff", [])}
        ]
    ],
    %% What comes behind is the next request, and stays its own affair.
    Socket = connect(),
    ok = gen_tcp:send(Socket, [
        Lines("GET", "/health", ["host: x\r\nconnection: ", 255, "\r\n\r\n"]),
        Post(["content-length: 22\r\n", Body])
    ]),
    ?assertEqual(2, length(binary:matches(read_all(Socket, <<>>), <<"HTTP/1.1 200 OK">>))),
    ok = logger:remove_handler(?MODULE),
    ?assertEqual([], logged()).

%% Whatever crashes in a connection: its mailbox has the next requests, with their texts and keys.
a_crash_says_nothing_of_what_was_sent(Config) ->
    _ = cluster(["w1"], [], Config),
    {ok, Right} = ml_cluster_app:check(),
    ok = ml_cluster_config:install(Right#{http := #{cors => no_list}}),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    Next = "POST /infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-length: 20\r\n\r\n{\"texts\":[\"secret\"]}",
    ?assertEqual(closed, raw(["GET /health HTTP/1.1\r\nhost: x\r\norigin: secret\r\n\r\n", Next])),
    ok = logger:remove_handler(?MODULE),
    ok = ml_cluster_config:install(Right),
    [Line] = logged(),
    ?assertEqual(nomatch, string:find(Line, "secret")),
    ?assertNotEqual(nomatch, string:find(Line, "a connection failed: error:")),
    {200, _} = fetch("/health").

%% Each gets its status, and none costs a second or memory that stays.
hostile_requests_cost_little(Config) ->
    _ = cluster(["w1"], [], Config),
    Head = "POST /infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
    Body = fun(Bytes) -> [Head, "content-length: ", integer_to_list(iolist_size(Bytes)), "\r\n\r\n", Bytes] end,
    Before = collected(),
    [
        begin
            {Took, Answer} = timer:tc(fun() -> raw(Bytes) end),
            ?assertMatch({_, {Status, _, _}}, {What, Answer}),
            ?assertMatch({_, true}, {{What, Took}, Took < 1000000})
        end
     || {What, Status, Bytes} <- [
            {digits, 400, Body([<<"{\"texts\":">>, binary:copy(<<"9">>, 10000000), <<"}">>])},
            {nesting, 400, Body(binary:copy(<<"[">>, 10000000))},
            {escapes, 400, Body([<<"{\"texts\":[\"">>, binary:copy(<<"\\u0041">>, 1000000), <<"\"">>])},
            {keys, 422, Body(["{", lists:join(",", [["\"", integer_to_list(I), "\":1"] || I <- lists:seq(1, 100000)]), "}"])},
            {not_utf8, 400, Body([<<"{\"texts\":[\"">>, binary:copy(<<255>>, 1000000), <<"\"]}">>])},
            {headers, 431, [Head, lists:duplicate(10000, "x: y\r\n"), "\r\n"]},
            {long_header, 431, [Head, "x: ", binary:copy(<<"y">>, 1000000), "\r\n\r\n"]},
            {long_line, 414, ["GET /", binary:copy(<<"y">>, 1000000), " HTTP/1.1\r\n\r\n"]},
            {chunks, 413, [Head, "transfer-encoding: chunked\r\n\r\n", "ffffffff\r\n"]}
        ]
    ],
    until(fun() -> collected() - Before < 10000000 end).

%% Their framing is not data, and counts all the same.
chunks_of_a_byte_cost_little(Config) ->
    with_small_heaps(fun() ->
        _ = cluster(["w1"], [], Config),
        Chunk = <<"1\r\n \r\n">>,
        Head = "POST /infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        {400, _, _} = raw([Head, binary:copy(Chunk, 2000000), "0\r\n\r\n"]),
        ok = application:stop(ml_cluster),
        _ = cluster(["w2"], [{limits, #{body_bytes => 100000}}], Config),
        Padded = [<<"1;">>, binary:copy(<<"x">>, 1000), <<"\r\n \r\n">>],
        {413, _, Refused} = raw([Head, lists:duplicate(300, Padded), "0\r\n\r\n"]),
        ?assertNotEqual(nomatch, binary:match(Refused, <<"body with its chunks: at most 265536, got ">>)),
        %% What comes behind the body is no part of it.
        Next = lists:duplicate(100, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"),
        {400, _, _} = raw([Head, lists:duplicate(200, Padded), "0\r\n\r\n", Next])
    end).

%% They are counted before they are values; texts that are too many, but not by far, are told by number.
values_without_end_cost_little(Config) ->
    Many = fun(Value) -> lists:join($,, lists:duplicate(16000000 div (iolist_size(Value) + 1), Value)) end,
    Keys = fun(Count) -> lists:join($,, [[$", integer_to_list(I, 36), "\":1"] || I <- lists:seq(1, Count)]) end,
    Message = fun({413, #{<<"error">> := #{<<"message">> := Text}}}) -> Text end,
    Texts = fun(Count) -> ["{\"texts\":[", lists:join($,, lists:duplicate(Count, "\"\"")), "]}"] end,
    Over = <<"values: at most 201000, got at least 201001">>,
    with_small_heaps(fun() ->
        _ = cluster(["w1"], [], Config),
        ?assertEqual(Over, Message(post("/infer", ["{\"texts\":[", Many("\"\""), "]}"]))),
        ?assertEqual(Over, Message(post("/infer", ["{\"texts\":[", Many("{}"), "]}"]))),
        ?assertEqual(Over, Message(post("/infer", ["{\"texts\":[", Many("1"), "]}"]))),
        ?assertEqual(Over, Message(post("/infer", ["{", Keys(1200000), "}"]))),
        ?assertMatch({413, #{<<"error">> := _}}, post("/v1/embeddings", ["{\"input\":[", Many("\"\""), "]}"])),
        ?assertMatch({413, #{<<"error_type">> := <<"Validation">>}}, post("/embed", ["{\"inputs\":[", Many("\"\""), "]}"])),
        ?assertEqual(<<"texts: at most 100000, got 100001">>, Message(post("/infer", Texts(100001))))
    end),
    ok = application:stop(ml_cluster),
    _ = cluster(["w2"], [{limits, #{texts => 1000}}], Config),
    ?assertMatch({200, _}, post("/infer", Texts(1000))),
    ?assertEqual(<<"texts: at most 1000, got 1001">>, Message(post("/infer", Texts(1001)))),
    ?assertEqual(<<"texts: at most 1000, got 2900">>, Message(post("/infer", Texts(2900)))),
    {200, _, Answer} = raw([stream_head("transfer-encoding: chunked\r\n"),
        ml_cluster_http1:chunk(["[", lists:join($,, lists:duplicate(900000, "1")), "]\n\"a\"\n"]), "0\r\n\r\n"]),
    {whole, Lines} = chunked(Answer),
    ?assertMatch([#{<<"error">> := #{<<"reason">> := <<"too_large">>}}, #{<<"embedding">> := _}], lines(Lines)).

%% A process that needs more than 32 MB ends.
with_small_heaps(Run) ->
    Before = erlang:system_flag(max_heap_size, #{size => 4000000, kill => true, error_logger => false}),
    try
        Run()
    after
        erlang:system_flag(max_heap_size, Before)
    end.

%% Bytes of the VM after a collection of all processes.
collected() ->
    _ = [erlang:garbage_collect(Pid) || Pid <- processes()],
    erlang:memory(total).

a_slow_body_is_cut(Config) ->
    _ = cluster(["w1"], [{limits, #{body_timeout_ms => 300}}], Config),
    {408, _, _} = raw("POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"),
    {408, _, _} = raw("POST /infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{").

%% Each line comes in time, the whole does not.
a_slow_head_is_cut(Config) ->
    _ = cluster(["w1"], [{limits, #{head_timeout_ms => 300}}], Config),
    Socket = connect(),
    ok = gen_tcp:send(Socket, "POST /infer HTTP/1.1\r\nhost: x\r\n"),
    Drip = spawn_link(fun() ->
        [begin _ = gen_tcp:send(Socket, "x: y\r\n"), timer:sleep(50) end || _ <- lists:seq(1, 200)]
    end),
    {408, _, _} = parsed(read_all(Socket, <<>>)),
    true = unlink(Drip).

a_number_of_a_million_digits_costs_nothing(Config) ->
    _ = cluster(["w1"], [], Config),
    Digits = binary:copy(<<"9">>, 1000000),
    {400, _} = post("/infer", [<<"{\"texts\":">>, Digits, <<"}">>]),
    {reductions, Cost} = process_info(self(), reductions),
    ?assertMatch({error, {malformed, _}}, ml_cluster_json:decode(Digits, 1)),
    {reductions, After} = process_info(self(), reductions),
    ?assert(After - Cost < 100000).

%% The client is still sending when it is refused.
a_response_to_a_body_too_large_arrives(Config) ->
    _ = cluster(["w1"], [{limits, #{body_bytes => 100000}}], Config),
    Body = binary:copy(<<" ">>, 8000000),
    ?assertMatch({413, _}, post("/infer", Body)),
    %% Some clients read nothing before they have sent it all.
    ?assertMatch({413, _}, post("/infer", binary:copy(Body, 8))),
    ?assertMatch({413, _, _}, raw([
        "POST /infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        ml_cluster_http1:chunk(Body), "0\r\n\r\n"
    ])).

a_body_too_large_is_not_asked_for(Config) ->
    _ = cluster(["w1"], [{limits, #{body_bytes => 1000}}], Config),
    Head = "POST /infer HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1001\r\n\r\n",
    ?assertMatch({413, _, _}, raw(Head)).

%% While the body comes in, too.
a_request_has_its_time_from_its_head_on(Config) ->
    [Peer] = cluster(["w1"], [], Config),
    Head = "POST /infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-timeout-ms: 400\r\n"
        "content-length: 15\r\n\r\n",
    Late = connect(),
    ok = gen_tcp:send(Late, [Head, "{\"texts\""]),
    ?assertMatch({504, _, _}, parsed(read_all(Late, <<>>))),
    behave(Peer, {slow, 300}),
    Slow = connect(),
    ok = gen_tcp:send(Slow, Head),
    timer:sleep(250),
    ok = gen_tcp:send(Slow, "{\"texts\":[\"a\"]}"),
    ?assertMatch({504, _, _}, parsed(read_all(Slow, <<>>))).

a_front_that_stops_answers_who_comes(Config) ->
    [Peer] = cluster(["w1"], [], Config),
    behave(Peer, {slow, 1000}),
    Running = connect(),
    ok = gen_tcp:send(Running, "POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n\r\n{\"texts\":[\"a\"]}"),
    until(fun() -> ml_cluster_metrics:in_flight() =:= 1 end),
    {Stopping, Ref} = spawn_monitor(fun ml_cluster_drain:run/0),
    until(fun ml_cluster_drain:is_draining/0),
    [
        begin
            New = connect(),
            timer:sleep(100),
            ok = gen_tcp:send(New, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"),
            ?assertMatch({503, _, _}, parsed(read_all(New, <<>>)))
        end
     || _ <- [1, 2, 3]
    ],
    ?assertMatch({200, _, _}, parsed(read_all(Running, <<>>))),
    receive {'DOWN', Ref, process, Stopping, Reason} -> ?assertEqual(normal, Reason) end.

a_chunked_body_is_read(Config) ->
    _ = cluster(["w1"], [], Config),
    {200, _, _} = raw([
        "POST /infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        "9\r\n{\"texts\":\r\n6;x=y\r\n[\"a\"]}\r\n0\r\ntrailer: z\r\n\r\n"
    ]).

pipelined_requests_are_answered_in_order(Config) ->
    [Peer] = cluster(["w1"], [], Config),
    behave(Peer, {slow, 100}),
    Body = "{\"texts\":[\"a\"]}",
    Infer = ["POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n"],
    Socket = connect(),
    ok = gen_tcp:send(Socket, [Infer, "\r\n", Body, Infer, "connection: close\r\n\r\n", Body]),
    Answer = read_all(Socket, <<>>),
    ?assertEqual(2, length(binary:matches(Answer, <<"HTTP/1.1 200 OK">>))).

a_client_that_hangs_up_cancels(Config) ->
    [{_, Node} = Peer] = cluster(["w1"], [], Config),
    InFlight = fun() -> hd([N || #{node := M, in_flight := N} <- ml_cluster:workers(), M =:= Node]) end,
    %% However many requests came before on the connection, and however large they are: to be handled by
    %% the connection itself, read at once or not, or by a process of their own.
    [
        begin
            behave(Peer, normal),
            Socket = connect(),
            [
                begin
                    ok = gen_tcp:send(Socket, Request),
                    _ = until_received(Socket, <<>>, <<"\"node\"">>)
                end
             || _ <- lists:seq(1, Before)
            ],
            behave(Peer, {slow, 60000}),
            ok = gen_tcp:send(Socket, Request),
            until(fun() -> InFlight() =:= 1 end),
            ok = gen_tcp:close(Socket),
            until(fun() -> InFlight() =:= 0 end)
        end
     || {Before, Blanks} <- [{0, 0}, {62, 0}, {63, 0}, {64, 0}, {65, 0}, {0, 12000}, {2, 12000}, {2, 25000}, {2, 40000}],
        Request <- [blank_request(Blanks)]
    ].

blank_request(Blanks) ->
    [
        "POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: ", integer_to_list(15 + Blanks), "\r\n\r\n",
        lists:duplicate(Blanks, $\s), "{\"texts\":[\"a\"]}"
    ].

%% What a request of a few texts takes is given back soon after it.
idle_connections_take_little(Config) ->
    _ = cluster(["w1"], [], Config),
    Open = fun() ->
        Socket = connect(),
        [
            begin
                ok = gen_tcp:send(Socket, blank_request(12000)),
                _ = until_received(Socket, <<>>, <<"\"node\"">>)
            end
         || _ <- [1, 2, 3]
        ],
        Socket
    end,
    Count = 200,
    ok = gen_tcp:close(Open()),
    Before = collected(),
    Sockets = [Open() || _ <- lists:seq(1, Count)],
    until(fun() -> true = garbage_collect(), erlang:memory(total) - Before < Count * 12000 end),
    lists:foreach(fun gen_tcp:close/1, Sockets).

%% What it sends on and on before it has its answer fills its own buffers.
a_client_that_sends_ahead_is_read_so_far(Config) ->
    [Peer] = cluster(["w1"], [{limits, #{idle_timeout_ms => 2000}}], Config),
    behave(Peer, {slow, 60000}),
    Socket = connect(),
    ok = inet:setopts(Socket, [{send_timeout, 500}, {sndbuf, 4096}]),
    ok = gen_tcp:send(Socket, "POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n\r\n{\"texts\":[\"a\"]}"),
    ?assertMatch({timeout, Sent} when Sent < 8000, send_until_error(Socket, binary:copy(<<"x">>, 1024), 0)),
    ok = gen_tcp:close(Socket).

%% And the operator is told, once a minute at most.
who_finds_all_connections_taken_waits(Config) ->
    _ = cluster(["w1"], [{limits, #{connections => 20}}], Config),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    Health = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
    Open = fun() ->
        Socket = connect(),
        ok = gen_tcp:send(Socket, Health),
        Socket
    end,
    Answered = fun(Socket) -> until_received(Socket, <<>>, <<"\"status\"">>) end,
    Taken = [First, Second | _] = [Open() || _ <- lists:seq(1, 20)],
    _ = [Answered(Socket) || Socket <- Taken],
    Waiting = Open(),
    ?assertEqual({error, timeout}, gen_tcp:recv(Waiting, 0, 300)),
    ok = gen_tcp:send(Second, "GET /metrics HTTP/1.1\r\nhost: x\r\naccept: text/plain\r\n\r\n"),
    _ = until_received(Second, <<>>, <<"\nml_cluster_http_connections 20\n">>),
    ok = gen_tcp:close(First),
    _ = Answered(Waiting),
    ok = logger:remove_handler(?MODULE),
    [Line] = logged(),
    ?assertNotEqual(nomatch, string:find(Line, "ml_cluster: all 20 connections are taken: new clients wait")),
    _ = [gen_tcp:close(Socket) || Socket <- [Waiting | Taken]],
    until(fun() -> ml_cluster_mochiweb:connections() =:= 0 end).

keys_guard_all_but_health(Config) ->
    File = filename:join(?config(priv_dir, Config), "keys"),
    ok = file:write_file(File, "# ours\nsecret-1\n\nsecret-2\n"),
    _ = cluster(["w1"], [{api_keys_file, File}], Config),
    ?assertEqual({401, <<"unauthorized">>}, reason(fetch("/cluster"))),
    %% Of the page, which asks for the key, only the files that it is made of.
    [
        ?assertEqual({Route, [401, 405]}, {Route, lists:usort(statuses(Route))})
     || Route <- ml_cluster_http:routes() -- [<<"/health">>, <<"/ui/{file}">>]
    ],
    ?assertMatch({401, _, _}, request("GET", "/cluster", [{"authorization", "Bearer no"}], "")),
    ?assertMatch({200, _, _}, request("GET", "/cluster", [{"authorization", "Bearer secret-2"}], "")),
    ?assertMatch({200, _}, fetch("/health")).

statuses(Route) ->
    Path = binary_to_list(hd(binary:split(Route, <<"{">>))) ++ ["x" || binary:match(Route, <<"{">>) =/= nomatch],
    [
        begin {Status, _, _} = request(Method, lists:flatten(Path), [], "{}"), Status end
     || Method <- ["GET", "POST"]
    ].

openai_clients_get_their_dialect(Config) ->
    _ = cluster(["w1"], [], Config),
    {200, #{<<"object">> := <<"list">>, <<"data">> := Data, <<"usage">> := Usage}} =
        post("/v1/embeddings", "{\"input\":[\"a\",\"b\"],\"model\":\"default\",\"user\":\"u\"}"),
    same([vector(<<"a">>), vector(<<"b">>)], [V || #{<<"embedding">> := V} <- Data]),
    ?assertEqual(#{<<"prompt_tokens">> => 6, <<"total_tokens">> => 6}, Usage),
    {200, #{<<"data">> := [#{<<"embedding">> := Base64}]}} =
        post("/v1/embeddings", "{\"input\":\"a\",\"model\":\"default\",\"encoding_format\":\"base64\"}"),
    ?assertMatch(<<_:64>>, base64:decode(Base64)),
    Code = fun(Body) ->
        {Status, #{<<"error">> := #{<<"code">> := C, <<"type">> := _, <<"param">> := _}}} =
            post("/v1/embeddings", Body),
        {Status, C}
    end,
    ?assertEqual({400, <<"bad_argument">>}, Code("{\"input\":[],\"model\":\"default\"}")),
    ?assertEqual({400, <<"bad_argument">>}, Code("{\"input\":[[1,2]],\"model\":\"default\"}")),
    ?assertEqual({404, <<"model_not_found">>}, Code("{\"input\":\"a\",\"model\":\"nowhere\"}")),
    ?assertMatch({200, _}, fetch("/v1/models/sentence-transformers%2Fall-MiniLM-L6-v2")),
    Unknown = fun(Path) ->
        {404, #{<<"error">> := #{<<"type">> := _, <<"code">> := Word}}} = fetch(Path),
        Word
    end,
    ?assertEqual(<<"model_not_found">>, Unknown("/v1/models/%zz")),
    ?assertEqual(<<"not_found">>, Unknown("/v1/completions")),
    {200, #{<<"data">> := Models}} = fetch("/v1/models"),
    ?assertEqual(
        [<<"all-MiniLM-L6-v2">>, <<"default">>], lists:sort([Id || #{<<"id">> := Id} <- Models])
    ).

tei_clients_get_their_dialect(Config) ->
    [Peer] = cluster(["w1"], [{limits, #{texts => 10, body_bytes => 10000}}], Config),
    {200, [One]} = post("/embed", "{\"inputs\":\"a\",\"unknown\":1}"),
    {200, [Again, _]} = post(
        "/embed",
        "{\"inputs\":[\"a\",\"b\"],\"truncate\":true,\"truncation_direction\":\"Left\","
        "\"prompt_name\":null,\"normalize\":false,\"dimensions\":2}"
    ),
    same([vector(<<"a">>), vector(<<"a">>)], [One, Again]),
    ?assertMatch(
        {200, [
            [
                #{<<"id">> := 1, <<"text">> := <<"[">>, <<"special">> := true,
                  <<"start">> := null, <<"stop">> := null},
                #{<<"id">> := $a, <<"text">> := <<"a">>, <<"special">> := false,
                  <<"start">> := 0, <<"stop">> := 1},
                #{<<"id">> := $b, <<"start">> := 1, <<"stop">> := 2}
            ],
            [_, _]
        ]},
        post("/tokenize", "{\"inputs\":[\"ab\",\"c\"]}")
    ),
    ?assertMatch(
        {200, [[#{<<"id">> := $a}]]},
        post("/tokenize", "{\"inputs\":\"a\",\"add_special_tokens\":false}")
    ),
    ?assertMatch(
        {200, #{<<"model_id">> := <<"all-MiniLM-L6-v2">>, <<"max_input_length">> := 256,
                <<"model_dtype">> := <<"float32">>,
                <<"model_type">> := #{<<"embedding">> := #{<<"pooling">> := <<"cls+mean">>}}}},
        fetch("/info")
    ),
    [
        ?assertEqual({Body, {Status, Type}}, {Body, tei_error(post("/embed", Body))})
     || {Status, Type, Body} <- [
            {400, <<"Empty">>, "{\"inputs\":[]}"},
            {400, <<"Empty">>, "{\"inputs\":\"\"}"},
            {400, <<"Validation">>, "{"},
            {413, <<"Validation">>, ["{\"inputs\":[", lists:join(",", lists:duplicate(11, "\"a\"")), "]}"]},
            {413, <<"Validation">>, ["{\"inputs\":\"", lists:duplicate(20000, $a), "\"}"]},
            {422, <<"Validation">>, "{}"},
            {422, <<"Validation">>, "{\"inputs\":[[1,2]]}"},
            {422, <<"Validation">>, "{\"inputs\":\"a\",\"truncate\":\"yes\"}"},
            {422, <<"Validation">>, "{\"inputs\":\"a\",\"truncation_direction\":\"up\"}"},
            {422, <<"Validation">>, "{\"inputs\":\"a\",\"dimensions\":0}"},
            {422, <<"Validation">>, "{\"inputs\":\"a\",\"prompt_name\":7}"}
        ]
    ],
    Failing = fun(Reason) ->
        behave(Peer, {raise_in, encode, Reason}),
        tei_error(post("/embed", "{\"inputs\":\"a\"}"))
    end,
    ?assertEqual({422, <<"Validation">>}, Failing({too_long, 1, 600, 512})),
    ?assertEqual({424, <<"Backend">>}, Failing({model_failed, <<"m">>, <<"not finite">>})),
    ?assertEqual({429, <<"Overloaded">>}, Failing({overloaded, 100})).

%% The fronts may be upgraded before the workers.
tei_clients_are_served_by_an_older_worker(Config) ->
    {Peer, Node} = ml_cluster_test_nodes:start("w1", ?config(double, Config)),
    ok = peer:call(Peer, persistent_term, put, [{ml_worker, opts}, []]),
    {ok, _} = ml_cluster_test_nodes:configure([{workers, [Node]}, {http, #{port => 0}}]),
    until(fun() -> ml_cluster_table:up(remote) =:= [Node] end),
    ?assertMatch(
        {200, [[#{<<"id">> := $a, <<"text">> := <<>>, <<"start">> := null}, #{<<"id">> := $b}]]},
        post("/tokenize", "{\"inputs\":\"ab\"}")
    ).

%% What a request is called goes to the workers with every function that takes texts.
a_trace_goes_to_the_worker(Config) ->
    [{Peer, _}] = cluster(["w1"], [], Config),
    Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    Headers = [{"x-request-id", "req-1"}, {"traceparent", Parent}],
    {200, _} = post("/tokenize", Headers, "{\"inputs\":\"a\"}"),
    Expected = list_to_binary(["req-1 ", Parent]),
    ?assertMatch(#{trace := Expected, timeout_ms := _}, peer:call(Peer, ml_worker, asked, [])).

%% What a bug's reason or stack has in it may be a text.
texts_stay_out_of_the_log(Config) ->
    [Peer] = cluster(["w1"], [], Config),
    behave(Peer, echo),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}}),
    ?assertMatch({500, _}, post("/v1/embeddings", "{\"input\":\"a secret\"}")),
    {200, _, _} = raw([stream_head("content-length: 11\r\n"), "\"a secret\"\n"]),
    ok = logger:remove_handler(?MODULE),
    Lines = logged(),
    [?assertEqual({Line, nomatch}, {Line, string:find(Line, "secret")}) || Line <- Lines],
    ?assertEqual(2, length([Line || Line <- Lines, string:find(Line, "failed: error:") =/= nomatch])).

log(Event, #{config := #{test := Test}}) ->
    Test ! {?MODULE, unicode:characters_to_list(logger_formatter:format(Event, #{}))},
    ok.

logged() ->
    receive
        {?MODULE, Line} -> [Line | logged()]
    after 100 -> []
    end.

tei_error({Status, #{<<"error">> := Text, <<"error_type">> := Type}}) when is_binary(Text) ->
    {Status, Type}.

%% The pages are for people.
the_description_has_every_route(Config) ->
    _ = cluster(["w1"], [], Config),
    {200, #{<<"paths">> := Paths}} = fetch("/openapi.json"),
    ?assertEqual([], maps:keys(Paths) -- ml_cluster_http:routes()),
    Undescribed = ml_cluster_http:routes() -- maps:keys(Paths),
    ?assertEqual([], [Path || Path <- Undescribed, not is_page(Path)]).

is_page(<<"/ui/{file}">>) ->
    true;
is_page(Path) ->
    {Status, Headers, _} = request("GET", binary_to_list(Path), [], ""),
    {_, Type} = lists:keyfind(<<"content-type">>, 1, Headers),
    Status =:= 200 andalso binary:match(Type, <<"json">>) =:= nomatch.

ids_and_origins_come_back(Config) ->
    _ = cluster(["w1"], [{http, #{port => 0, cors => ["https://a.example"]}}], Config),
    Header = fun(Name, Headers) ->
        {200, Answered, _} = request("GET", "/health", Headers, ""),
        proplists:get_value(Name, Answered)
    end,
    ?assertEqual(<<"abc-1">>, Header(<<"x-request-id">>, [{"x-request-id", "abc-1"}])),
    ?assertMatch(<<_:120>>, Header(<<"x-request-id">>, [{"x-request-id", "no blanks please"}])),
    ?assertMatch(<<_:120>>, Header(<<"x-request-id">>, [])),
    Allowed = <<"access-control-allow-origin">>,
    ?assertEqual(<<"https://a.example">>, Header(Allowed, [{"origin", "https://a.example"}])),
    ?assertEqual(undefined, Header(Allowed, [{"origin", "https://b.example"}])),
    Asked = {"access-control-request-headers", "content-type, x-stainless-os"},
    {204, Preflight, <<>>} = request("OPTIONS", "/infer", [{"origin", "https://a.example"}, Asked], ""),
    ?assertEqual(
        <<"content-type, x-stainless-os">>, proplists:get_value(<<"access-control-allow-headers">>, Preflight)
    ),
    ?assertMatch(<<"GET", _/binary>>, proplists:get_value(<<"access-control-allow-methods">>, Preflight)).

options_and_head(Config) ->
    _ = cluster(["w1"], [], Config),
    {204, Headers, <<>>} = request("OPTIONS", "/cluster", [], ""),
    ?assertEqual(undefined, proplists:get_value(<<"content-length">>, Headers)),
    ?assertEqual(<<"GET, HEAD, OPTIONS">>, proplists:get_value(<<"allow">>, Headers)),
    {200, Head, <<>>} = request("HEAD", "/health", [], ""),
    ?assertNotEqual(<<"0">>, proplists:get_value(<<"content-length">>, Head)),
    ?assertMatch({405, _, _}, request("DELETE", "/infer", [], "")).

a_compressed_body_is_refused(Config) ->
    _ = cluster(["w1"], [], Config),
    Body = zlib:gzip("{\"texts\":[\"a\"]}"),
    ?assertMatch({415, _}, post("/infer", [{"content-encoding", "gzip"}], Body)).

a_worker_without_formats_is_served(Config) ->
    {Peer, Node} = ml_cluster_test_nodes:start("w1", ?config(double, Config)),
    ok = peer:call(Peer, persistent_term, put, [{ml_worker, opts}, []]),
    {ok, _} = ml_cluster_test_nodes:configure([{workers, [Node]}, {http, [{port, 0}]}]),
    until(fun() -> ml_cluster_table:up(remote) =:= [Node] end),
    {200, #{<<"embeddings">> := Vectors}} = post("/infer", "{\"texts\":[\"a\"]}"),
    same([vector(<<"a">>)], Vectors).

%% ---- Streams ----

stream_head(Headers) ->
    ["POST /infer/stream HTTP/1.1\r\nhost: x\r\n", Headers, "\r\n"].

%% What was sent in chunks, and whether the last one came.
chunked(Bytes) -> chunked(Bytes, <<>>).

chunked(Bytes, Read) ->
    case binary:split(Bytes, <<"\r\n">>) of
        [<<"0">>, <<"\r\n">>] -> {whole, Read};
        [Hex, Rest] ->
            Size = binary_to_integer(Hex, 16),
            <<Data:Size/binary, "\r\n", More/binary>> = Rest,
            chunked(More, <<Read/binary, Data/binary>>);
        [<<>>] -> {cut, Read}
    end.

lines(Bytes) ->
    [
        begin {ok, Value} = ml_cluster_json:decode(Line, 1000), Value end
     || Line <- binary:split(Bytes, <<"\n">>, [global, trim])
    ].

a_stream_answers_line_by_line(Config) ->
    _ = cluster(["w1"], [{limits, #{line_bytes => 1000}}], Config),
    Long = binary:copy(<<"x">>, 2000),
    Body = iolist_to_binary([
        "\"a\"\n", "{\"text\": \"b\"}\r\n", "\n", "{\n", "7\n",
        "{\"text\":\"a\",\"model\":\"nowhere\"}\n", "{\"text\":\"a\",\"txet\":1}\n",
        [$", Long, "\"\n"], "\"last\""
    ]),
    Length = ["content-length: ", integer_to_list(byte_size(Body)), "\r\n"],
    {200, Headers, Answer} = raw([stream_head(Length), Body]),
    ?assertEqual(
        {<<"content-type">>, <<"application/x-ndjson">>}, lists:keyfind(<<"content-type">>, 1, Headers)
    ),
    {whole, Text} = chunked(Answer),
    Lines = lines(Text),
    ?assertEqual(lists:seq(0, 7), [Index || #{<<"index">> := Index} <- Lines]),
    same(
        [vector(<<"a">>), vector(<<"b">>), vector(<<"last">>)],
        [Vector || #{<<"embedding">> := Vector} <- Lines]
    ),
    ?assertEqual(
        [
            {2, <<"malformed">>}, {3, <<"bad_argument">>}, {4, <<"unknown_model">>},
            {5, <<"bad_argument">>}, {6, <<"too_large">>}
        ],
        [{I, R} || #{<<"index">> := I, <<"error">> := #{<<"reason">> := R}} <- Lines]
    ).

%% A client may wait for an answer before it sends the next line.
a_stream_is_a_conversation(Config) ->
    _ = cluster(["w1"], [], Config),
    Socket = connect(),
    ok = gen_tcp:send(Socket, stream_head("transfer-encoding: chunked\r\nexpect: 100-continue\r\n")),
    Say = fun(Text) -> ok = gen_tcp:send(Socket, ml_cluster_http1:chunk(Text)) end,
    Say("\"one\"\n\"tw"),
    _ = until_received(Socket, <<>>, <<"\"index\":0">>),
    Say("o\"\n"),
    _ = until_received(Socket, <<>>, <<"\"index\":1">>),
    ok = gen_tcp:send(Socket, ml_cluster_http1:last_chunk()),
    _ = until_received(Socket, <<>>, <<"0\r\n\r\n">>),
    ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 10000)).

until_received(Socket, Read, Wanted) ->
    case binary:match(Read, Wanted) of
        nomatch ->
            {ok, More} = gen_tcp:recv(Socket, 0, 10000),
            until_received(Socket, <<Read/binary, More/binary>>, Wanted);
        _ ->
            Read
    end.

open_stream(Config, Limits) ->
    [{_, Node} = Peer] = cluster(["w1"], [{limits, Limits}], Config),
    Socket = connect(),
    ok = inet:setopts(Socket, [{send_timeout, 1000}, {recbuf, 4096}, {sndbuf, 4096}]),
    ok = gen_tcp:send(Socket, stream_head("transfer-encoding: chunked\r\n")),
    InFlight = fun() -> hd([N || #{node := M, in_flight := N} <- ml_cluster:workers(), M =:= Node]) end,
    {Peer, Socket, InFlight}.

%% While nothing is answered no more than `stream_lines' are in flight, and the client's sends stop.
a_stream_holds_back(Config) ->
    {Peer, Socket, InFlight} = open_stream(Config, #{stream_lines => 4}),
    behave(Peer, {slow, 60000}),
    Line = ["\"", lists:duplicate(1000, "x"), "\"\n"],
    Sent = send_until_error(Socket, ml_cluster_http1:chunk(lists:duplicate(64, Line)), 0),
    ?assertMatch({timeout, Chunks} when Chunks < 500, Sent),
    ?assertEqual(4, InFlight()),
    ok = gen_tcp:close(Socket).

a_stream_that_is_hung_up_is_cancelled(Config) ->
    {Peer, Socket, InFlight} = open_stream(Config, #{stream_lines => 4}),
    behave(Peer, {slow, 60000}),
    ok = gen_tcp:send(Socket, ml_cluster_http1:chunk("1\n2\n\"a\"\n\"b\"\n\"c\"\n\"d\"\n\"e\"\n\"f\"\n")),
    until(fun() -> InFlight() =:= 4 end),
    ok = gen_tcp:close(Socket),
    until(fun() -> InFlight() =:= 0 end).

a_stream_that_is_not_read_is_cut(Config) ->
    {_, Socket, _} = open_stream(Config, #{write_timeout_ms => 500}),
    %% The answer to such a line is longer than the line.
    Line = ["{\"text\":\"a\",\"", lists:duplicate(1000, "x"), "\":1}\n"],
    ?assertMatch({_, _}, send_until_error(Socket, ml_cluster_http1:chunk(lists:duplicate(64, Line)), 0)),
    until(fun() -> ml_cluster_mochiweb:connections() =:= 0 end),
    ok = gen_tcp:close(Socket).

send_until_error(Socket, Chunk, Count) ->
    case gen_tcp:send(Socket, Chunk) of
        ok -> send_until_error(Socket, Chunk, Count + 1);
        {error, Reason} -> {Reason, Count}
    end.

a_stream_without_workers_is_refused(_) ->
    {ok, _} = ml_cluster_test_nodes:configure([{http, #{port => 0}}]),
    {503, _, _} = raw([stream_head("content-length: 4\r\n"), "\"a\"\n"]),
    {505, _, _} = raw("POST /infer/stream HTTP/1.0\r\ncontent-length: 4\r\n\r\n\"a\"\n").

a_stream_with_a_bad_chunk_has_no_end(Config) ->
    _ = cluster(["w1"], [], Config),
    {200, _, Answer} = raw([stream_head("transfer-encoding: chunked\r\n"), "4\r\n\"a\"\n\r\nzz\r\n"]),
    ?assertMatch({cut, _}, chunked(Answer)).

%% ---- The local worker ----

the_local_worker_is_the_last_resort(Config) ->
    Program = filename:join(?config(data_dir, Config), "local_worker.sh"),
    Local = #{program => Program, args => [?config(double, Config)]},
    [{_, Remote}] = cluster(["w1"], [{local_worker, Local}], Config),
    until(fun() -> length(ml_cluster_table:up(local)) =:= 1 end),
    [Node] = ml_cluster_table:up(local),
    ?assertMatch({ok, #{nodes := [Remote]}}, ml_cluster:encode([<<"a">>], default)),
    #{requests := #{local_fallback := Before}} = ml_cluster:metrics(),
    ok = ml_cluster:remove_worker(Remote),
    {200, #{<<"node">> := Name}} = post("/infer", "{\"texts\":[\"a\"]}"),
    ?assertEqual(atom_to_binary(Node), Name),
    #{requests := #{local_fallback := After}} = ml_cluster:metrics(),
    ?assertEqual(1, After - Before),
    %% It is started again when it ends, and ends with us.
    _ = erpc:cast(Node, erlang, halt, []),
    until(fun() -> ml_cluster_table:up(local) =:= [] end),
    until(fun() -> ml_cluster_table:up(local) =:= [Node] end),
    ok = application:stop(ml_cluster),
    until(fun() -> not lists:member(Node, nodes(connected)) end).

without_http(_) ->
    {ok, _} = ml_cluster_test_nodes:configure([{http, false}]),
    ?assertEqual(undefined, whereis(ml_cluster_mochiweb)),
    ?assertMatch(
        {error, {ml_cluster, {{bad_config, {http, ip}, _, _}, _}}},
        ml_cluster_test_nodes:configure([{http, #{ip => "0.0.0.0"}}])
    ).
