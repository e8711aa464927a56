"""The project's models in PyTorch, under the same names and with the same tensors: for tests/golden and for the side-by-side of this folder.

Without dropout and stochastic depth, whose draws are Linnet's own. Activations work in place, which is PyTorch at its fastest.
"""
import torch.nn as nn
import torch.nn.functional as F


def relu():
    return nn.ReLU(inplace=True)


class Seq(nn.Module):
    """Modules under given names, run in order."""

    def __init__(self, **modules):
        super().__init__()
        for key, module in modules.items():
            self.add_module(key, module)

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x


def divisible(v):
    """torchvision's _make_divisible, of 8."""
    n = max(8, int(v + 4) // 8 * 8)
    return n + 8 if n < 0.9 * v else n


def conv_norm(bn, i, o, k=3, s=1, groups=1, act=None):
    """torchvision's Conv2dNormActivation."""
    layers = [nn.Conv2d(i, o, k, s, k // 2, groups=groups, bias=False), bn(o)]
    return nn.Sequential(*layers, *([act(inplace=True)] if act else []))


class SqueezeExcite(nn.Module):
    def __init__(self, c, squeezed, act, gate):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(c, squeezed, 1), nn.Conv2d(squeezed, c, 1)
        self.act, self.gate = act(inplace=True), gate()

    def forward(self, x):
        return x * self.gate(self.fc2(self.act(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class Residual(nn.Module):
    """Modules in a row under one name, the input added where `add`."""

    def __init__(self, name, layers, add):
        super().__init__()
        self.add_module(name, nn.Sequential(*layers))
        self.add = add

    def forward(self, x):
        y = next(self.children())(x)
        return x + y if self.add else y


class Models:
    """A method a model: its input's shape and the network for ten classes. norm "running" keeps running statistics, "batch" does not."""

    def __init__(self, norm):
        self.bn = lambda c, **how: nn.BatchNorm2d(c, track_running_stats=norm == "running", **how)

    def logreg(self):
        return (1, 28, 28), Seq(flat=nn.Flatten(), fc=nn.Linear(784, 10))

    def cnn5x5(self):
        return (3, 32, 32), Seq(conv1=nn.Conv2d(3, 32, 5, padding=2), a=relu(), p=nn.MaxPool2d(2), conv2=nn.Conv2d(32, 64, 5, padding=2), b=relu(),
                                q=nn.MaxPool2d(2), flat=nn.Flatten(), fc1=nn.Linear(4096, 512), c=relu(), fc2=nn.Linear(512, 10))

    def femnist_cnn(self):
        return (1, 28, 28), Seq(conv1=nn.Conv2d(1, 32, 5, padding=2), a=relu(), p=nn.MaxPool2d(2), conv2=nn.Conv2d(32, 64, 5, padding=2), b=relu(),
                                q=nn.MaxPool2d(2), flat=nn.Flatten(), fc1=nn.Linear(3136, 2048), c=relu(), fc2=nn.Linear(2048, 10))

    def cnn3x3(self):
        return (1, 28, 28), Seq(conv1=nn.Conv2d(1, 32, 3), a=relu(), conv2=nn.Conv2d(32, 64, 3), b=relu(), q=nn.MaxPool2d(2), flat=nn.Flatten(),
                                fc1=nn.Linear(9216, 128), c=relu(), fc2=nn.Linear(128, 10))

    def vgg11(self):
        layers, i = [], 3
        for out in [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512]:
            if out == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(i, out, 3, padding=1), self.bn(out), relu()]
                i = out
        head = nn.Sequential(nn.Linear(2048, 4096), relu(), nn.Linear(4096, 4096), relu(), nn.Linear(4096, 10))
        return (3, 32, 32), Seq(features=nn.Sequential(*layers), flat=nn.Flatten(), classifier=head)

    def resnet9(self):
        bn = self.bn

        def cbr(i, o):
            return [nn.Conv2d(i, o, 3, padding=1), bn(o), relu()]

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.features = nn.Sequential(*cbr(3, 64), nn.MaxPool2d(2), *cbr(64, 128), nn.MaxPool2d(2))
                self.block1 = nn.Sequential(*cbr(128, 256), *cbr(256, 256), nn.MaxPool2d(2))
                self.shortcut1 = nn.Conv2d(128, 256, 1, 2)
                self.block2 = nn.Sequential(*cbr(256, 512), *cbr(512, 512), nn.MaxPool2d(2))
                self.shortcut2 = nn.Conv2d(256, 512, 1, 2)
                self.block3 = nn.Sequential(*cbr(512, 512), *cbr(512, 512))
                self.fc = nn.Linear(512, 10)

            def forward(self, x):
                x = self.features(x)
                x = self.block1(x) + self.shortcut1(x)
                x = self.block2(x) + self.shortcut2(x)
                x = self.block3(x) + x
                return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

        return (3, 32, 32), Net()

    def resnet12(self):
        bn = self.bn

        class Block(nn.Module):
            def __init__(self, i, o):
                super().__init__()
                self.conv1, self.bn1 = nn.Conv2d(i, o, 3, padding=1, bias=False), bn(o)
                self.conv2, self.bn2 = nn.Conv2d(o, o, 3, padding=1, bias=False), bn(o)
                self.conv3, self.bn3 = nn.Conv2d(o, o, 3, padding=1, bias=False), bn(o)
                self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, bias=False), bn(o))

            def forward(self, x):
                y = F.relu(self.bn1(self.conv1(x)), inplace=True)
                y = F.relu(self.bn2(self.conv2(y)), inplace=True)
                return F.max_pool2d(F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True), 2)

        return (3, 32, 32), Seq(layer1=Block(3, 64), layer2=Block(64, 128), layer3=Block(128, 256), layer4=Block(256, 512), pool=nn.AdaptiveAvgPool2d(1),
                                flat=nn.Flatten(), fc=nn.Linear(512, 10))

    def resnet18(self):
        bn = self.bn

        class Basic(nn.Module):
            def __init__(self, i, o, s):
                super().__init__()
                self.conv1, self.bn1 = nn.Conv2d(i, o, 3, s, 1, bias=False), bn(o)
                self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), bn(o)
                if s != 1 or i != o:
                    self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), bn(o))
                else:
                    self.downsample = nn.Identity()

            def forward(self, x):
                y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
                return F.relu(y + self.downsample(x), inplace=True)

        layers, i = {}, 64
        for at, (o, s) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), 1):
            layers[f"layer{at}"] = nn.Sequential(Basic(i, o, s), Basic(o, o, 1))
            i = o
        return (3, 32, 32), Seq(conv1=nn.Conv2d(3, 64, 3, 1, 1, bias=False), bn1=self.bn(64), relu=relu(), **layers, pool=nn.AdaptiveAvgPool2d(1),
                                flat=nn.Flatten(), fc=nn.Linear(512, 10))

    def mobilenetv2(self):
        layers, i = [conv_norm(self.bn, 3, 32, act=nn.ReLU6)], 32
        for t, o, n, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for k in range(n):
                s = stride if k == 0 else 1
                block = [conv_norm(self.bn, i, i * t, 1, act=nn.ReLU6)] if t != 1 else []
                block += [conv_norm(self.bn, i * t, i * t, 3, s, i * t, nn.ReLU6), nn.Conv2d(i * t, o, 1, bias=False), self.bn(o)]
                layers.append(Residual("conv", block, s == 1 and i == o))
                i = o
        layers.append(conv_norm(self.bn, 320, 1280, 1, act=nn.ReLU6))
        return (3, 32, 32), Seq(features=nn.Sequential(*layers), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
                                classifier=nn.Sequential(nn.Identity(), nn.Linear(1280, 10)))

    def mobilenetv3_large(self):
        def bn(c):
            return self.bn(c, eps=1e-3, momentum=0.01)

        h, r = nn.Hardswish, nn.ReLU
        rows = [(3, 16, 16, 0, r, 1), (3, 64, 24, 0, r, 1), (3, 72, 24, 0, r, 1), (5, 72, 40, 1, r, 2), (5, 120, 40, 1, r, 1), (5, 120, 40, 1, r, 1),
                (3, 240, 80, 0, h, 2), (3, 200, 80, 0, h, 1), (3, 184, 80, 0, h, 1), (3, 184, 80, 0, h, 1), (3, 480, 112, 1, h, 1),
                (3, 672, 112, 1, h, 1), (5, 672, 160, 1, h, 2), (5, 960, 160, 1, h, 1), (5, 960, 160, 1, h, 1)]
        layers, i = [conv_norm(bn, 3, 16, act=h)], 16
        for k, e, o, excite, act, s in rows:
            block = [conv_norm(bn, i, e, 1, act=act)] if e != i else []
            block.append(conv_norm(bn, e, e, k, s, e, act))
            if excite:
                block.append(SqueezeExcite(e, divisible(e // 4), nn.ReLU, nn.Hardsigmoid))
            layers.append(Residual("block", block + [conv_norm(bn, e, o, 1)], s == 1 and i == o))
            i = o
        layers.append(conv_norm(bn, 160, 960, 1, act=h))
        return (3, 32, 32), Seq(features=nn.Sequential(*layers), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
                                classifier=nn.Sequential(nn.Linear(960, 1280), h(inplace=True), nn.Identity(), nn.Linear(1280, 10)))

    def efficientnet_b0(self):
        layers, i = [conv_norm(self.bn, 3, 32, act=nn.SiLU)], 32
        for t, o, n, k, stride in ((1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2),
                                   (6, 320, 1, 3, 1)):
            stage = []
            for j in range(n):
                s, e = stride if j == 0 else 1, i * t
                block = [conv_norm(self.bn, i, e, 1, act=nn.SiLU)] if t != 1 else []
                block += [conv_norm(self.bn, e, e, k, s, e, nn.SiLU), SqueezeExcite(e, max(1, i // 4), nn.SiLU, nn.Sigmoid), conv_norm(self.bn, e, o, 1)]
                stage.append(Residual("block", block, s == 1 and i == o))
                i = o
            layers.append(nn.Sequential(*stage))
        layers.append(conv_norm(self.bn, 320, 1280, 1, act=nn.SiLU))
        return (3, 32, 32), Seq(features=nn.Sequential(*layers), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
                                classifier=nn.Sequential(nn.Identity(), nn.Linear(1280, 10)))
