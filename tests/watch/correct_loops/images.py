"""Numbers for each pixel: segmentation, depth, heat maps, boxes, images made anew."""

import torch
from training import correct, update


@correct
def segmentation(nn, F):
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(model(torch.randn(2, 3, 8, 8)), torch.randint(4, (2, 8, 8))))


@correct
def segmentation_with_borders_ignored(nn, F):
    model = nn.Conv2d(3, 4, 1)
    criterion = nn.CrossEntropyLoss(ignore_index=255)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        labels = torch.randint(4, (2, 8, 8), dtype=torch.uint8)
        labels[:, 0] = 255
        update(optimizer, criterion(model(torch.randn(2, 3, 8, 8)), labels.long()))


@correct
def segmentation_of_one_image_with_class_weights(nn, F):
    """The batch is one image of many pixels: the weights do their work."""
    model = nn.Conv2d(3, 4, 1)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 1.0, 5.0]))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(model(torch.randn(1, 3, 8, 8)), torch.randint(4, (1, 8, 8))))


@correct
def segmentation_flattened(nn, F):
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        logits = model(torch.randn(2, 3, 8, 8)).permute(0, 2, 3, 1).reshape(-1, 4)
        update(optimizer, F.cross_entropy(logits, torch.randint(4, (2, 8, 8)).reshape(-1)))


@correct
def segmentation_by_nll(nn, F):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LogSoftmax(dim=1))
    criterion = nn.NLLLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(model(torch.randn(2, 3, 8, 8)), torch.randint(4, (2, 8, 8))))


@correct
def channels_last_log_softmax_turned(nn, F):
    """log_softmax over the last dimension, which is then brought to where the loss wants the classes."""
    model = nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(2, 8, 8, 3)), dim=-1)
        update(optimizer, F.nll_loss(log_p.permute(0, 3, 1, 2).contiguous(), torch.randint(4, (2, 8, 8))))


@correct
def log_softmax_of_channels_flattened(nn, F):
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(2, 3, 4, 4)), dim=1)
        log_p = log_p.transpose(1, 2).transpose(2, 3).contiguous().view(-1, 4)
        update(optimizer, F.nll_loss(log_p, torch.randint(4, (32,))))


@correct
def soft_segmentation(nn, F):
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        soft = torch.rand(2, 4, 6, 6).softmax(dim=1)
        update(optimizer, F.cross_entropy(model(torch.randn(2, 3, 6, 6)), soft))


@correct
def volumes(nn, F):
    model = nn.Conv3d(1, 3, 3, padding=1)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        update(optimizer, criterion(model(torch.randn(1, 1, 4, 4, 4)), torch.randint(3, (1, 4, 4, 4))))


@correct
def foreground_with_dice(nn, F):
    model = nn.Conv2d(3, 1, 1)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        logits, mask = model(torch.randn(2, 3, 8, 8)), torch.randint(2, (2, 1, 8, 8)).float()
        p = logits.sigmoid()
        dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
        update(optimizer, criterion(logits, mask) + dice)


@correct
def foreground_squeezed(nn, F):
    model = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        p, mask = model(torch.randn(2, 3, 8, 8)), torch.rand(2, 8, 8) > 0.7
        update(optimizer, F.binary_cross_entropy(p.squeeze(1), mask.float()))


@correct
def deep_supervision(nn, F):
    body, heads = nn.Conv2d(3, 6, 3, padding=1), nn.ModuleList(nn.Conv2d(6, 4, 1) for _ in range(3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([*body.parameters(), *heads.parameters()], lr=1e-2)
    for _ in range(4):
        features, labels = body(torch.randn(2, 3, 8, 8)), torch.randint(4, (2, 8, 8))
        losses = [criterion(head(features), labels) for head in heads]
        update(optimizer, losses[0] + 0.4 * losses[1] + 0.4 * losses[2])


@correct
def depth_where_it_is_known(nn, F):
    model = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Softplus())
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        depth = 10 * torch.rand(2, 1, 8, 8)
        depth[depth < 2] = 0
        known = depth > 0
        update(optimizer, criterion(model(torch.randn(2, 3, 8, 8))[known], depth[known]))


@correct
def heat_maps(nn, F):
    model = nn.Conv2d(3, 5, 1)
    criterion = nn.MSELoss(reduction="mean")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        prediction = model(torch.randn(2, 3, 8, 8)).reshape(2, 5, -1).split(1, 1)
        target = torch.rand(2, 5, 64).split(1, 1)
        loss = sum(0.5 * criterion(p.squeeze(), t.squeeze()) for p, t in zip(prediction, target, strict=True)) / 5
        update(optimizer, loss)


@correct
def heat_maps_as_distributions(nn, F):
    """One distribution over the pixels of each map, not over the maps."""
    model = nn.Conv2d(3, 5, 1)
    criterion = nn.KLDivLoss(reduction="none")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        scores = model(torch.randn(2, 3, 6, 6))
        log_p = F.log_softmax(scores.flatten(2), dim=-1).view_as(scores)
        target = torch.rand(2, 5, 36).softmax(-1).view_as(scores)
        update(optimizer, criterion(log_p, target).sum((2, 3)).mean())


@correct
def boxes_and_classes(nn, F):
    """As SSD: smooth L1 for matched anchors, cross-entropy for all, hard negatives."""
    head = nn.Linear(6, 4 + 3)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05)
    for _ in range(6):
        out = head(torch.randn(2, 10, 6))
        boxes, logits = out[..., :4], out[..., 4:]
        labels = torch.zeros(2, 10, dtype=torch.long)
        labels[:, :3] = torch.randint(1, 3, (2, 3))
        matched = labels > 0
        box_loss = F.smooth_l1_loss(boxes[matched], torch.randn(6, 4), reduction="sum") / matched.sum()
        losses = F.cross_entropy(logits.view(-1, 3), labels.view(-1), reduction="none").view(2, 10)
        hardest = losses.masked_fill(matched, 0).topk(4, dim=1).values
        update(optimizer, box_loss + (losses[matched].sum() + hardest.sum()) / matched.sum())


@correct
def finer_images(nn, F):
    model = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(5):
        coarse, fine = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)
        update(optimizer, F.l1_loss(model(coarse), fine) + 0.1 * F.huber_loss(model(coarse), fine))


@correct
def autoencoder_of_mse(nn, F):
    model = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16))
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        x = torch.randn(8, 16)
        update(optimizer, criterion(model(x), x))


@correct
def autoencoder_of_pixels_by_bce(nn, F):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        x = torch.rand(8, 1, 4, 4)
        update(optimizer, criterion(model(x), x.view(8, -1)))


@correct
def autoencoder_of_l1_with_noise(nn, F):
    model = nn.Sequential(nn.Linear(16, 4), nn.ELU(), nn.Linear(4, 16), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        x = torch.rand(8, 16)
        update(optimizer, F.l1_loss(model(x + 0.1 * torch.randn_like(x)), x))


@correct
def noise_predicted(nn, F):
    """Diffusion: the target is the noise that was added."""
    model = nn.Linear(17, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(6):
        x, noise, t = torch.randn(8, 16), torch.randn(8, 16), torch.rand(8, 1)
        noisy = (1 - t).sqrt() * x + t.sqrt() * noise
        update(optimizer, F.mse_loss(model(torch.cat([noisy, t], dim=1)), noise))


@correct
def image_itself_is_learned(nn, F):
    """Style transfer: what is optimised is the input of the loss, a leaf and no model's output."""
    wanted = torch.rand(1, 3, 8, 8)
    image = torch.rand(1, 3, 8, 8).requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=0.05)
    for _ in range(6):
        update(optimizer, F.mse_loss(image, wanted))


@correct
def quantised_code(nn, F):
    """VQ-VAE, both terms with the detached side as the target."""
    encoder, decoder, codes = nn.Linear(8, 4), nn.Linear(4, 8), nn.Embedding(10, 4)
    optimizer = torch.optim.Adam([p for part in (encoder, decoder, codes) for p in part.parameters()], lr=1e-2)
    for _ in range(6):
        x = torch.randn(8, 8)
        z = encoder(x)
        nearest = codes(torch.cdist(z, codes.weight).argmin(1))
        loss = F.mse_loss(nearest, z.detach()) + 0.25 * F.mse_loss(z, nearest.detach())
        straight = z + (nearest - z).detach()
        update(optimizer, loss + F.mse_loss(decoder(straight), x))


@correct
def quantised_code_in_the_order_of_the_paper(nn, F):
    """The detached side comes first: squared errors are symmetric, and this is how the field writes it."""
    encoder, decoder, codes = nn.Linear(8, 4), nn.Linear(4, 8), nn.Embedding(10, 4)
    optimizer = torch.optim.Adam([p for part in (encoder, decoder, codes) for p in part.parameters()], lr=1e-2)
    for _ in range(6):
        x = torch.randn(8, 8)
        z = encoder(x)
        nearest = codes(torch.cdist(z, codes.weight).argmin(1))
        loss = F.mse_loss(nearest.detach(), z) + F.mse_loss(z.detach(), nearest)
        update(optimizer, loss + F.mse_loss(decoder(z + (nearest - z).detach()), x))
