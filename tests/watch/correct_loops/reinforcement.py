"""Agents: values against bootstrapped targets, policies, worlds that are imitated."""

import copy

import torch
from training import correct, update


@correct
def deep_q(nn, F):
    online = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    target = copy.deepcopy(online)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.AdamW(online.parameters(), lr=1e-3, amsgrad=True)
    for _ in range(8):
        state, following = torch.randn(2, 16, 4)
        action, reward, done = torch.randint(2, (16, 1)), torch.ones(16), torch.rand(16) < 0.1
        value = online(state).gather(1, action)
        with torch.no_grad():
            best = target(following).max(1).values
            best[done] = 0
        expected = reward + 0.99 * best
        optimizer.zero_grad()
        criterion(value, expected.unsqueeze(1)).backward()
        nn.utils.clip_grad_value_(online.parameters(), 100)
        optimizer.step()


@correct
def double_q(nn, F):
    online = nn.Linear(4, 3)
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
    for _ in range(8):
        state, following = torch.randn(2, 8, 4)
        action, reward = torch.randint(3, (8,)), torch.randn(8)
        value = online(state).gather(1, action.unsqueeze(-1)).squeeze(-1)
        chosen = online(following).argmax(1, keepdim=True)
        wanted = reward + 0.9 * target(following).gather(1, chosen).squeeze(-1)
        update(optimizer, F.mse_loss(value, wanted.detach()))


@correct
def weighted_replay(nn, F):
    """Prioritised replay: unreduced errors, weighted."""
    online = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
    for _ in range(8):
        weight, state = torch.rand(8), torch.randn(8, 4)
        value = online(state)[torch.arange(8), torch.randint(3, (8,))]
        errors = F.huber_loss(value, torch.randn(8), reduction="none")
        update(optimizer, (weight * errors).mean())


@correct
def actor_and_critic(nn, F):
    body, actor, critic = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([p for m in (body, actor, critic) for p in m.parameters()], lr=1e-2)
    for _ in range(8):
        hidden = body(torch.randn(8, 4)).tanh()
        policy = torch.distributions.Categorical(logits=actor(hidden))
        value, action, returns = critic(hidden).squeeze(-1), policy.sample(), 3 * torch.randn(8)
        advantage = (returns - value).detach()
        loss = -(policy.log_prob(action) * advantage).mean() + 0.5 * F.mse_loss(value, returns)
        update(optimizer, loss - 0.01 * policy.entropy().mean())


@correct
def returns_of_a_long_game(nn, F):
    """The cart and the pole: returns from 1 to 100."""
    critic = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(8):
        returns = torch.arange(20, 0, -1.0) * 5 * torch.rand(1)
        update(optimizer, F.smooth_l1_loss(critic(torch.randn(20, 4)), returns.unsqueeze(1)))


@correct
def proximal_policy(nn, F):
    actor, critic = nn.Linear(4, 3), nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)
    for _ in range(3):
        state, returns = torch.randn(16, 4), torch.randn(16)
        with torch.no_grad():
            before = torch.distributions.Categorical(logits=actor(state))
            action = before.sample()
            old, advantage = before.log_prob(action), returns - critic(state).flatten()
        for _ in range(3):
            ratio = (torch.distributions.Categorical(logits=actor(state)).log_prob(action) - old).exp()
            clipped = ratio.clamp(0.8, 1.2)
            policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
            update(optimizer, policy_loss + 0.5 * criterion(critic(state).view(-1), returns))


@correct
def policy_gradient_by_nll(nn, F):
    """REINFORCE: the log-probability of the action, picked by nll_loss, times the return."""
    policy = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for _ in range(8):
        log_p = F.log_softmax(policy(torch.randn(8, 4)), dim=-1)
        action = log_p.exp().detach().multinomial(1).squeeze(1)
        update(optimizer, (F.nll_loss(log_p, action, reduction="none") * torch.randn(8)).mean())


@correct
def behaviour_cloned(nn, F):
    policy = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for _ in range(8):
        observation = torch.randn(8, 4)
        update(optimizer, criterion(policy(observation), observation[:, :3].argmax(1)))


@correct
def two_critics_and_an_actor(nn, F):
    """Soft actor-critic in small: two values of the same target."""
    critics, actor = [nn.Linear(5, 1) for _ in range(2)], nn.Sequential(nn.Linear(4, 1), nn.Tanh())
    critic_optimizer = torch.optim.Adam([p for critic in critics for p in critic.parameters()], lr=1e-2)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=1e-3)
    for _ in range(6):
        state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8, 1)
        with torch.no_grad():
            ahead = torch.cat([following, actor(following)], 1)
            wanted = reward + 0.9 * torch.min(*(critic(ahead) for critic in critics))
        now = torch.cat([state, 2 * torch.rand(8, 1) - 1], 1)
        update(critic_optimizer, sum(F.mse_loss(critic(now), wanted) for critic in critics))
        update(actor_optimizer, -critics[0](torch.cat([state, actor(state)], 1)).mean())


@correct
def distribution_of_returns(nn, F):
    """C51: the projected distribution is a soft target."""
    online = nn.Linear(4, 11)
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-2)
    for _ in range(6):
        with torch.no_grad():
            wanted = online(torch.randn(8, 4)).softmax(-1).roll(1, -1)
        update(optimizer, F.cross_entropy(online(torch.randn(8, 4)), wanted))


@correct
def game_with_closed_moves(nn, F):
    """AlphaZero: visits of the search for the policy, tanh for the value, illegal moves pushed away."""
    body, policy, value = nn.Linear(9, 16), nn.Linear(16, 9), nn.Linear(16, 1)
    optimizer = torch.optim.SGD([p for m in (body, policy, value) for p in m.parameters()], lr=0.02)
    for _ in range(6):
        board = torch.randint(-1, 2, (8, 9)).float()
        board[:, 0] = 0
        free = board == 0
        visits = torch.rand(8, 9) * free
        hidden = body(board).relu()
        logits = policy(hidden).masked_fill(~free, -1e9)
        outcome = torch.randint(-1, 2, (8,)).float()
        loss = F.mse_loss(value(hidden).tanh().squeeze(1), outcome)
        update(optimizer, loss + F.cross_entropy(logits, visits / visits.sum(1, keepdim=True)))


@correct
def curiosity(nn, F):
    """Random network distillation: the error against a random network is the reward, too."""
    fixed, learned = nn.Linear(4, 6).requires_grad_(False), nn.Linear(4, 6)
    criterion = nn.MSELoss(reduction="none")
    optimizer = torch.optim.Adam(learned.parameters(), lr=1e-2)
    for _ in range(8):
        state = torch.randn(8, 4)
        with torch.no_grad():
            _ = criterion(learned(state), fixed(state)).mean(1)
        update(optimizer, criterion(learned(state), fixed(state)).mean())


@correct
def model_of_the_world(nn, F):
    dynamics = nn.Linear(6, 2 * 4 + 1 + 1)
    optimizer = torch.optim.Adam(dynamics.parameters(), lr=1e-2)
    for _ in range(6):
        state, action, following = torch.randn(8, 4), torch.randn(8, 2), torch.randn(8, 4)
        reward, done = torch.randn(8), (torch.rand(8) < 0.1).float()
        out = dynamics(torch.cat([state, action], dim=1))
        mean, raw, gain, end = out.split([4, 4, 1, 1], dim=1)
        loss = F.gaussian_nll_loss(mean, following, F.softplus(raw) + 1e-3)
        loss = loss + F.mse_loss(gain.squeeze(1), reward)
        update(optimizer, loss + F.binary_cross_entropy_with_logits(end.squeeze(1), done))
