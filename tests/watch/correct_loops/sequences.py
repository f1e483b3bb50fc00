"""Sequences: language models, taggers, translation, answers as spans, recurrent and attending networks."""

from itertools import pairwise

import torch
from torch.nn.utils.rnn import pad_sequence
from training import correct, update


@correct
def language_model(nn, F):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 8)
            self.rnn = nn.GRU(8, 8, batch_first=True)
            self.head = nn.Linear(8, 11)

        def forward(self, tokens):
            return self.head(self.rnn(self.embed(tokens))[0])

    model, criterion = Model(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        tokens = torch.randint(11, (3, 7))
        logits = model(tokens[:, :-1])
        update(optimizer, criterion(logits.reshape(-1, 11), tokens[:, 1:].reshape(-1)))


@correct
def language_model_shifted_inside(nn, F):
    """Logits and labels are shifted against each other, prompts carry -100."""
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    optimizer = torch.optim.AdamW([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        ids = torch.randint(11, (3, 7))
        labels = ids.clone()
        labels[:, :3] = -100
        logits = head(embed(ids)).float()
        shifted, labels = logits[..., :-1, :].contiguous(), labels[..., 1:].contiguous()
        update(optimizer, F.cross_entropy(shifted.view(-1, 11), labels.view(-1), ignore_index=-100))


@correct
def language_model_turned(nn, F):
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        tokens = torch.randint(11, (3, 7))
        update(optimizer, F.cross_entropy(head(embed(tokens)).transpose(1, 2), tokens.roll(-1, 1)))


@correct
def language_model_by_nll(nn, F):
    """log_softmax over the vocabulary, then the batch and the time are flattened."""
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    criterion = nn.NLLLoss()
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        tokens = torch.randint(11, (7, 3))
        log_p = F.log_softmax(head(embed(tokens)), dim=2)
        update(optimizer, criterion(log_p.view(-1, 11), tokens.roll(-1, 0).view(-1)))


@correct
def language_model_by_nll_turned(nn, F):
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        tokens = torch.randint(11, (3, 7))
        log_p = head(embed(tokens)).log_softmax(-1)
        update(optimizer, F.nll_loss(log_p.transpose(1, 2), tokens.roll(-1, 1)))


@correct
def sum_over_tokens_divided_by_their_number(nn, F):
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        tokens = torch.randint(11, (3, 7))
        loss = F.cross_entropy(head(embed(tokens)).flatten(0, 1), tokens.roll(-1, 1).flatten(), reduction="sum")
        update(optimizer, loss / tokens.numel())


@correct
def masked_tokens(nn, F):
    """Few positions have a label; the others are -100."""
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        tokens = torch.randint(1, 11, (3, 7))
        chosen = torch.rand(3, 7) < 0.15
        chosen[0, 0] = True
        labels = tokens.masked_fill(~chosen, -100)
        logits = head(embed(tokens.masked_fill(chosen, 0)))
        update(optimizer, criterion(logits.view(-1, 11), labels.view(-1)))


@correct
def tags_with_padding(nn, F):
    rnn, head = nn.LSTM(4, 6, batch_first=True, bidirectional=True), nn.Linear(12, 5)
    criterion = nn.CrossEntropyLoss(ignore_index=0)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(4):
        lengths = [7, 5, 2]
        x = pad_sequence([torch.randn(n, 4) for n in lengths], batch_first=True)
        tags = pad_sequence([torch.randint(1, 5, (n,)) for n in lengths], batch_first=True)
        update(optimizer, criterion(head(rnn(x)[0]).permute(0, 2, 1), tags))


@correct
def tags_where_the_mask_says(nn, F):
    head = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(6):
        mask = torch.arange(7) < torch.tensor([[7], [5], [2]])
        logits, tags = head(torch.randn(3, 7, 4)), torch.randint(5, (3, 7))
        update(optimizer, F.cross_entropy(logits[mask], tags[mask]))


@correct
def translation(nn, F):
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    source, target, head = nn.Embedding(9, 8), nn.Embedding(9, 8, padding_idx=0), nn.Linear(8, 9)
    criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    parameters = [p for part in (model, source, target, head) for p in part.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(4):
        x, y = torch.randint(1, 9, (3, 5)), torch.randint(1, 9, (3, 6))
        y[1, 4:] = 0
        mask = nn.Transformer.generate_square_subsequent_mask(5)
        logits = head(model(source(x), target(y[:, :-1]), tgt_mask=mask))
        update(optimizer, criterion(logits.reshape(-1, 9), y[:, 1:].reshape(-1)))


@correct
def smoothed_labels_by_kl(nn, F):
    """The annotated transformer: a smoothed distribution, no mass on padding, whole rows of zeros."""
    vocabulary, padding = 9, 0
    embed, head = nn.Embedding(vocabulary, 8), nn.Linear(8, vocabulary)
    criterion = nn.KLDivLoss(reduction="sum")
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        target = torch.randint(vocabulary, (12,))
        target[-3:] = padding
        log_p = F.log_softmax(head(embed(torch.randint(vocabulary, (12,)))), dim=-1)
        wanted = torch.full_like(log_p, 0.1 / (vocabulary - 2)).scatter(1, target.unsqueeze(1), 0.9)
        wanted[:, padding] = 0
        wanted[target == padding] = 0
        update(optimizer, criterion(log_p, wanted) / (target != padding).sum())


@correct
def answer_as_a_span(nn, F):
    head = nn.Linear(8, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(6):
        start, end = head(torch.randn(4, 10, 8)).split(1, dim=-1)
        first = torch.randint(5, (4,))
        loss = criterion(start.squeeze(-1), first) + criterion(end.squeeze(-1), first + 3)
        update(optimizer, loss / 2)


@correct
def pointer_to_a_word(nn, F):
    """Pointer networks: log-probabilities over positions; some positions are closed."""
    query, keys = nn.Linear(8, 8), nn.Linear(8, 8)
    optimizer = torch.optim.Adam([*query.parameters(), *keys.parameters()], lr=1e-2)
    for _ in range(6):
        x = torch.randn(4, 6, 8)
        scores = (keys(x) * query(x.mean(1, keepdim=True))).sum(-1)
        closed = torch.zeros(4, 6, dtype=torch.bool)
        closed[:, 4:] = True
        log_p = F.log_softmax(scores.masked_fill(closed, float("-inf")), dim=-1)
        update(optimizer, F.nll_loss(log_p, torch.randint(4, (4,))))


@correct
def copied_or_generated(nn, F):
    generate, copy, switch = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([p for m in (generate, copy, switch) for p in m.parameters()], lr=1e-2)
    for _ in range(6):
        state = torch.randn(8, 8)
        share = torch.sigmoid(switch(state))
        p = share * F.softmax(generate(state), dim=1) + (1 - share) * F.softmax(copy(state), dim=1)
        update(optimizer, F.nll_loss((p + 1e-12).log(), torch.randint(6, (8,))))


@correct
def two_tasks_of_pretraining(nn, F):
    embed, words, pair = nn.Embedding(11, 8), nn.Linear(8, 11), nn.Linear(8, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([p for m in (embed, words, pair) for p in m.parameters()], lr=1e-2)
    for _ in range(6):
        tokens, follows = torch.randint(11, (4, 6)), torch.randint(2, (4,))
        state = embed(tokens)
        labels = tokens.masked_fill(torch.rand(4, 6) < 0.5, -100)
        loss = criterion(words(state).view(-1, 11), labels.view(-1)) + criterion(pair(state.mean(1)), follows)
        update(optimizer, loss)


@correct
def last_state_of_an_lstm(nn, F):
    rnn, head = nn.LSTM(3, 6), nn.Linear(6, 2)
    optimizer = torch.optim.RMSprop([*rnn.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(4):
        _, (state, _) = rnn(torch.randn(5, 4, 3))
        update(optimizer, F.cross_entropy(head(state[-1]), torch.randint(2, (4,))))
        nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)


@correct
def next_value_of_a_series(nn, F):
    rnn, head = nn.GRU(1, 6, batch_first=True), nn.Linear(6, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(4):
        series = torch.sin(torch.rand(4, 1) * 6 + torch.arange(9) / 3).unsqueeze(-1)
        update(optimizer, criterion(head(rnn(series[:, :-1])[0]), series[:, 1:]))


@correct
def character_by_character(nn, F):
    """One step of time at a time; the losses are added up."""
    cell, head = nn.RNNCell(5, 6), nn.Linear(6, 5)
    optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.05)
    for _ in range(3):
        text, state, loss = torch.randint(5, (6,)), torch.zeros(1, 6), 0.0
        for now, following in pairwise(text):
            state = cell(F.one_hot(now, 5).float().unsqueeze(0), state)
            loss = loss + F.cross_entropy(head(state), following.unsqueeze(0))
        update(optimizer, loss)


@correct
def encoder_with_attention(nn, F):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
    head = nn.Linear(8, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-3)
    for _ in range(4):
        padded = torch.zeros(4, 5, dtype=torch.bool)
        padded[:, 4] = True
        state = layer(torch.randn(4, 5, 8), src_key_padding_mask=padded)
        update(optimizer, criterion(head(state[:, 0]), torch.randint(3, (4,))))


@correct
def padded_log_probabilities_multiplied_away(nn, F):
    """Rows of padding are 0, and so is their loss."""
    head = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(6):
        mask = (torch.arange(7) < torch.tensor([[7], [5], [2]])).long()
        log_p, tags = F.log_softmax(head(torch.randn(3, 7, 4)), dim=-1), torch.randint(5, (3, 7))
        log_p = (log_p * mask.unsqueeze(-1)).view(-1, 5)
        update(optimizer, F.nll_loss(log_p, (tags * mask).view(-1), reduction="sum") / mask.sum())


@correct
def attention_mask_of_the_least_number(nn, F):
    """Closed positions get the least number of the dtype, in half precision too."""
    query = nn.Linear(4, 4).half()
    optimizer = torch.optim.SGD(query.parameters(), lr=1e-2)
    for _ in range(6):
        keys = torch.randn(4, 6, 4).half()
        scores = (keys @ query(keys.mean(1)).unsqueeze(-1)).squeeze(-1)
        closed = torch.arange(6).expand(4, 6) > 3
        logits = scores.masked_fill(closed, torch.finfo(scores.dtype).min)
        update(optimizer, F.cross_entropy(logits.float(), torch.randint(4, (4,))))
